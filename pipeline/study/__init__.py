"""The study of the contrastive loss: its grid, its rows, and what they say."""
