"""The parts of faults.py: commands that can be killed, stages, trials, and what is compared at their ends."""
