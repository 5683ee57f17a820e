"""What is extracted from media and never trained with the denoiser: poses, I3D, flow, captions."""
