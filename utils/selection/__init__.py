"""Choosing the subset: the pool's rows and their losses (`candidates`, `numbered_rows`), S2L beside the paper's Algorithm 1
(`s2l`, with `kmeans`, `random_order` and `embeddings`), what it is compared with (`baselines`, `greedy`), the table of
methods (`methods`), what people ask besides (`constraints`, `contamination`, `extension`), whether it can be trusted
(`stability`, `explain`, `inspection`, with `drawing`), and the stage that select_s2l.py runs: `stage` makes a subset, of what
`opening` opens, in the sizes of `budgets`, after saying what it will do (`plan_text`) and that of which it consists
(`composition`); `made_subset` finds it again, if it was made from what is asked for now (`inputs`). Imports neither torch
nor transformers."""
