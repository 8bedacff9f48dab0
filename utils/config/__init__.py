"""What a YAML may say, and what follows from it alone. Imports neither torch nor transformers."""
