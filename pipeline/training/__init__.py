"""Training of the denoiser and its condition encoders: batches, optimiser, loop, checkpoints,
several processes.
"""
