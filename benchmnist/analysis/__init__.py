"""What may be said of results: pure functions on them."""
