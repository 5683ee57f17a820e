"""Mask-and-replace diffusion over codes, its contrastive losses and its sampler; the network
arrives as an object.
"""
