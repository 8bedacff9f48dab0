"""Which rows of the pool a target is trained on. Imports neither torch nor transformers."""
