"""Scoring anybody's outputs: files by name, laid against references as an evaluation does."""
