"""Conditions: what is extracted from dances, captions and classes, and the encoders that are trained on it."""
