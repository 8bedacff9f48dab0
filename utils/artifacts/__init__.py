"""Everything written under res/: where things lie (`paths`), whole-file writes and locks (`files`), what made a result
(`manifests`), what a run printed (`log`), and what stages hand to each other: `checkpoints`, `trajectories` (with losses
made elsewhere, `imported`), `subsets`.
Imports neither torch nor transformers."""
