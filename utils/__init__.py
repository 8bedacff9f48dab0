"""The S2L package (the folder's name is historical: read `utils` as `s2l`).

Arrows point one way: scripts -> stages (training, scoring, selection, evaluation, reporting) -> data, modeling ->
artifacts, config. Stages never import each other; they meet on disk, under `res/`.
"""
