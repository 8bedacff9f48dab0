"""The questions, and where they come from."""
