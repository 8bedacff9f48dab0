"""A model, and the loss of a response: exact, and fast."""
