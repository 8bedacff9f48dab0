"""About the process, not the method: whether this Python and its packages can run the project (`environment`)."""
