"""Measure trained models: `answers` (the answer in a text), `questions` (what is asked), `heldout_loss` and
`generation` (the two measurements), `results` (what is written and shown), `stage` (one run), `compare` (several)."""
