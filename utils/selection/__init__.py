"""Choosing the subset: the pool's rows and their losses (`candidates`, `numbered_rows`), S2L beside the paper's Algorithm 1
(`s2l`, with `kmeans`, `random_order` and `embeddings`), what it is compared with (`baselines`, `greedy`), the table of
methods (`methods`), what people ask besides (`constraints`, `contamination`, `extension`), and whether it can be trusted
(`stability`, `explain`, `inspection`, with `drawing`).

The stage that select_s2l.py runs is `stage`: a `plan` (of what `opening` opens, in the sizes of `budgets`, identified by
`inputs`) finds every conflict before a row is chosen, and `remarks` on settings of no effect; `plan_text` puts it into
words; `run` chooses and writes, with the `composition` of what was chosen. `made_subset` finds a subset again, if it was
made from what is asked for now. Imports neither torch nor transformers."""
