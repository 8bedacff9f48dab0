"""What is right: `judging` asks two rules side by side. `paper` is MAmmoTH's, with the arithmetic of
`python_numbers`. For `strict`, `statement` finds the answer in a text, `notation` writes it in one way,
`values` and `quantities` say what it means, `comparison` compares that, and `formulas` what only algebra
can."""
