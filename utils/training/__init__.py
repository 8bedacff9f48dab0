"""Fine-tune one model, proxy or target: `settings` (train_args -> TrainingArguments), `order` (which examples each
optimizer step takes), `trainer` (transformers' Trainer with our loss, order and checkpoints), `tracking` (wandb and the
like), `plan` (what a run will
do, checked) and `stage` (doing it)."""
