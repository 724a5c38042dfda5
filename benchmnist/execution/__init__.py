"""Feeds cases to an executor, in a good order, and informs the observers."""
