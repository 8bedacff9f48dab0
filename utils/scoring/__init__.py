"""Loss trajectories: `checkpoints` (which ones are scored), `plan` (with what tokens, into which folder), `units` (pieces of
work and what is left of them), `launch` (the processes and their shared counter), `lifetime` (how they end), `workers` (one
per device, alive through all its checkpoints), `progress` (what they say), `callback` (the same inside a training),
`released_losses` (the released code's, for selection)."""
