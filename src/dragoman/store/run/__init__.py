"""What stays in the folder of a run."""
