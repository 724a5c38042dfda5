"""What a run leaves: results, their files, and the folders of runs."""
