"""Run a stranger's program. Imports nothing of ours."""
