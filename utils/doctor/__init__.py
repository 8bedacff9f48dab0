"""What this machine has and lacks, and whether the pipeline works on it: for a report of a fault."""
