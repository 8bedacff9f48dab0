"""About the process and not the method: its packages, its ranks, its memory, its end, the copy of what it prints."""
