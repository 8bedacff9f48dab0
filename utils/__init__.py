"""S2L. The folder's name is historical: installed into another project it is the package `s2l`, so imports inside it are
relative.

Arrows point one way: scripts -> stages (training, scoring, selection, evaluation, experiments) and reporting -> data, modeling ->
artifacts -> config, terminal, process, sandbox. Stages never import each other or reporting; they meet on disk, under `res/`.
"""
