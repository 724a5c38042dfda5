"""Cases on their way through an executor, in which order, and who hears of it."""
