"""Loss trajectories on disk: written by scoring, read by selection, or made elsewhere."""
