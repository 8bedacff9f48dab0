"""Tables of bad inputs, one line each: what is changed, and words of the error that a person must read."""
