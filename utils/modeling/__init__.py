"""Models: `loading` reads a base model, a checkpoint or a tokenizer; `responses` takes the loss of responses, for training
(summed, where the labels are) and for scoring (per example, fast, and checked against the plain way); `cpu_memory` keeps
a CPU from paying for fresh pages with every tensor; `work` counts the operations a model takes."""
