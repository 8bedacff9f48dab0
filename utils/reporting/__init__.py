"""Artifacts and plans put into words and pages; computes nothing anew."""
