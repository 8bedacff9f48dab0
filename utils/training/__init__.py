"""Fine-tune one model, proxy or target: the same weights on any devices."""
