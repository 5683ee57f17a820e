"""The small networks that judge data without a published judge: a classifier, and an image-text
matcher.
"""

import re
from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 64
WORDS = 48  # a caption's words beyond these are not read
PAD, UNKNOWN = 0, 1


class ImageTower(nn.Module):
    """Features [n, 64] of pictures [n, 3, S, S] in [0, 1]: convolutions down to a 4 x 4 grid, which
    keeps places apart.
    """

    def __init__(self, image_size: int, width: int):
        super().__init__()
        layers, channels, side = [nn.Conv2d(3, width, 3, padding=1)], width, image_size
        while side > 4:
            wider = min(2 * channels, 4 * width)
            layers += [
                nn.GroupNorm(8, channels),
                nn.SiLU(),
                nn.Conv2d(channels, wider, 3, stride=2, padding=1),
            ]
            channels, side = wider, (side + 1) // 2
        layers += [
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(channels * side**2, FEATURES),
        ]
        self.image_size = image_size
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """The features, before any activation."""
        return self.layers(2 * images - 1)


class Classifier(nn.Module):
    """Logits [n, classes] of pictures; `tower` gives the features that the Frechet distance
    uses.
    """

    def __init__(self, image_size: int, width: int, n_classes: int):
        super().__init__()
        self.tower = ImageTower(image_size, width)
        self.head = nn.Sequential(nn.SiLU(), nn.Linear(FEATURES, n_classes))

    def forward(self, images: Tensor) -> Tensor:
        """The logits [n, classes]."""
        return self.head(self.tower(images))

    def loss(self, images: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of the class numbers [n]."""
        return F.cross_entropy(self(images), targets)


class Matcher(nn.Module):
    """Unit vectors of pictures and of captions in one space, trained to be near each other (CLIP's
    loss).
    """

    def __init__(self, image_size: int, width: int, vocabulary: list[str]):
        super().__init__()
        self.numbers = {word: number for number, word in enumerate(vocabulary, start=2)}
        self.tower = ImageTower(image_size, width)
        self.words = nn.Embedding(len(vocabulary) + 2, FEATURES, padding_idx=PAD)
        self.places = nn.Parameter(torch.randn(WORDS, FEATURES))
        layer = nn.TransformerEncoderLayer(
            FEATURES, 4, 4 * FEATURES, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.reader = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.image_head, self.text_head = (
            nn.Linear(FEATURES, FEATURES),
            nn.Linear(FEATURES, FEATURES),
        )
        self.scale = nn.Parameter(torch.tensor(10.0).log())

    def embed_images(self, images: Tensor) -> Tensor:
        """Unit vectors [n, 64] of pictures [n, 3, S, S] in [0, 1]."""
        return F.normalize(self.image_head(F.silu(self.tower(images))), dim=1)

    def embed_captions(self, captions: list[str]) -> Tensor:
        """Unit vectors [n, 64] of captions."""
        return self.embed_tokens(self.tokens(captions))

    def tokens(self, captions: list[str]) -> Tensor:
        """The captions' words as numbers [n, 48]."""
        rows = torch.full((len(captions), WORDS), PAD)
        for row, caption in enumerate(captions):
            numbers = [self.numbers.get(word, UNKNOWN) for word in split_words(caption)[:WORDS]]
            rows[row, : len(numbers)] = torch.tensor(numbers)
        return rows

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Unit vectors [n, 64] of word numbers [n, 48]."""
        tokens = tokens[:, : max(1, int((tokens != PAD).sum(1).max()))]
        blank = (tokens == PAD) & (tokens != PAD).any(1, keepdim=True)
        read = self.reader(
            self.words(tokens) + self.places[: tokens.shape[1]], src_key_padding_mask=blank
        )
        weights = (~blank).float().unsqueeze(-1)
        return F.normalize(self.text_head((read * weights).sum(1) / weights.sum(1)), dim=1)

    def loss(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Cross-entropy of finding each picture's caption in the batch, and each caption's
        picture.
        """
        logits = (
            self.scale.clamp(max=4.6).exp()
            * self.embed_images(images)
            @ self.embed_tokens(tokens).T
        )
        own = torch.arange(len(images), device=images.device)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def split_words(caption: str) -> list[str]:
    """The caption's words in lower case."""
    return re.findall(r"\w+", caption.lower())


def vocabulary_of(captions: list[str], limit: int = 4096) -> list[str]:
    """The most frequent words, ties in alphabetical order."""
    counts = Counter(word for caption in captions for word in split_words(caption))
    return sorted(counts, key=lambda word: (-counts[word], word))[:limit]
