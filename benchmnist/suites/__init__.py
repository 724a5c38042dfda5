"""The way from a TOML file to a plan: cases, and the key of each."""
