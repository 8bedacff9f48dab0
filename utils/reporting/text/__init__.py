"""What scripts print of an artifact: `comparison` of runs."""
