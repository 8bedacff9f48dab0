"""Many runs, and whether they differ."""
