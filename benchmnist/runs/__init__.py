"""Results of a run, their files, and the folders of runs."""
