"""Every file under res/: written whole, and known by what made it. Imports neither torch nor transformers."""
