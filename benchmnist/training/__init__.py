"""Training with torch: the data, the clock, the engines and the loop."""
