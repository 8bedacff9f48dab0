"""The subset as other stacks read it: rows, the config to paste, and which tokens each stack trains on."""
