"""What the scripts print."""
