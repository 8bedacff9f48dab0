"""About the process and not the method: its packages, ranks, memory and end, and the copy of its output."""
