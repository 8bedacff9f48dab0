"""Loss trajectories: `plan` (which checkpoints, with what tokens), `units` (pieces of work and what is left of them),
`workers` (one process per device, alive through all its checkpoints)."""
