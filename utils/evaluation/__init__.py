"""Measure trained models. `stage` evaluates one run: `settings` (what a config says of it) and `plan` (what is asked of which
checkpoint), all checked beforehand, `models` (what answers), `measuring` (one result), `progress` (what is said meanwhile),
`results` (what is written and shown).
What is asked: `questions`, in the fields of `published`, and `task_rows` (the math sets, in tasks/ as tasks of lm-eval), by
`harness` (lm-eval) through `generation` and `vllm_generation` (its language models). What is measured: `heldout_loss`,
`text_metrics`, `answers` (right or wrong, by two rules), `programs` (that a model writes).
`compare` compares several runs: `evaluated_runs` (read and grouped into arms), `arm_labels` (what tells them apart),
`differences` with `paired` (intervals and tests), `ledger` (costs); `arms` makes them, after `experiment_checks`."""
