"""Models: `settings` checks what a config says of one, `architecture` what one spells out; `loading` reads a base model, a
checkpoint or a tokenizer; `responses` takes the loss of responses in training, computing logits only where they are
predicted; `scorer` takes it for each example, fast, and checked against the plain way; `head` does the costly end of that
a tile at a time, `logits` finds out what a family does to its logits, `rotary` which rows can share a position table;
`devices` says what a device can do and `operations` counts what it takes; `cpu_memory` keeps a CPU from paying for fresh
pages with every tensor."""
