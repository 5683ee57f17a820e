"""The networks: denoisers, what they are told of a condition, and the import of published
checkpoints.
"""
