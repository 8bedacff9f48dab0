"""The package: `s2l` once it is installed into another project, so imports inside it are relative.

Arrows point one way: scripts -> stages (training, scoring, selection, evaluation, experiments) and reporting
-> data, modeling -> artifacts -> config, terminal, process, sandbox.
Stages never import each other or reporting. They meet on disk, under `res/`.
"""
