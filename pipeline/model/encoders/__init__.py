"""Condition encoders, trained with the denoiser: motion, visual, text, label, and their fusion."""
