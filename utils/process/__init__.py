"""About the process, not the method: whether this Python and its packages can run the project (`environment`), and whether the
Hugging Face hub can be reached from it (`hub`)."""
