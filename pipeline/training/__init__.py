"""The one training engine of denoiser, codecs, I3D and judges: batches, optimiser, averages,
checkpoints, history, several processes.
"""
