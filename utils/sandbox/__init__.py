"""Run a stranger's program: `run` shuts it in, `proof` shows that this machine keeps it in. Imports nothing of ours."""
