"""Artifacts put into words, for the scripts to print (`text`). Computes nothing anew."""
