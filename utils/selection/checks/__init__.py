"""Can a subset be trusted: its stability, the reason for one row, the kinds of trajectories."""
