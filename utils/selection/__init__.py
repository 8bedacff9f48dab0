"""Choosing the subset: the candidates (`candidates`), S2L beside the paper's Algorithm 1 (`s2l`, with `kmeans` and
`random_order`), what it is compared with (`baselines`), the table of methods (`methods`), and the stage that
select_s2l.py runs (`stage`, with `inputs` and `composition`). Beside the choice: what trajectories there are
(`inspection`) as lines of characters (`drawing`). Imports neither torch nor transformers."""
