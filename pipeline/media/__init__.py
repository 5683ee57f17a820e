"""Audio, video and image files: decode, resample, encode, mux."""
