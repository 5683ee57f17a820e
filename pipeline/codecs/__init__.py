"""Discrete codecs: Jukebox's VQ-VAE for sound and the VQ-GANs for images, how they are trained,
loaded and judged.
"""
