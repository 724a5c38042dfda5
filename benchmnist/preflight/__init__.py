"""The steps before any training: a suite is read, planned, checked and described."""
