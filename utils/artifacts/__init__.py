"""Everything written under res/: where things lie (`paths`), whole-file writes and locks (`files`), what made a result
(`manifests`) and how two of them differ (`differences`), what lies there (`runs`), how fast it went
(`rates`), what a run printed (`log`), what stages hand to each other: `checkpoints`, losses (`trajectory_folder` is written,
`trajectories` are read from it or from a file made elsewhere, `imported`), `subsets`; and `comparisons` of evaluated runs.
Imports neither torch nor transformers."""
