"""Models: `settings` checks what a config says of one, `architecture` what one spells out; `loading` reads a base model, a
checkpoint or a tokenizer; `responses` takes the loss of responses, for training
(summed, where the labels are) and for scoring (per example, fast, and checked against the plain way); `head` does the
costly end of that a tile at a time; `devices` and `operations` counts what it takes; `cpu_memory` keeps a CPU from paying for
fresh pages with every tensor."""
