"""A finished model as one object: network, codec and extractors together, what it makes of videos,
captions and classes, and the file in which it travels.
"""
