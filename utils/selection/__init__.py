"""Choosing the subset: the candidates (`candidates`), S2L beside the paper's Algorithm 1 (`s2l`, with `kmeans` and
`random_order`), what it is compared with (`baselines`), the table of methods (`methods`), and the stage that
select_s2l.py runs (`stage`, with `inputs` and `composition`). Imports neither torch nor transformers."""
