"""All that touches torch: the data, the clock, the engines and the one loop."""
