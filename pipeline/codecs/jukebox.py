"""Jukebox's VQ-VAE: a waveform becomes a sequence of codes, one every `hop` samples, and back
(Dhariwal et al., 2020).
"""

from math import prod
from pathlib import Path
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int, Shaped
from pydantic import Field
from torch import Tensor, nn

from pipeline.codecs.checks import at_once, check_codes, check_waveform
from pipeline.codecs.jukebox_layers import Decoder, Encoder
from pipeline.codecs.quantisers import Codebook, as_rows
from pipeline.codecs.windows import decode_in_windows, encode_in_windows, inputs_of
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file
from pipeline.runtime.params import Codes, SampleRate, Section, Width
from pipeline.storage.tensors import read_about, read_state_dict, write_tensors

Stride = Annotated[int, Field(strict=True, ge=2, le=1024, multiple_of=2)]


class JukeboxArchitecture(Section):
    """The sizes of a VQ-VAE. `strides` has one tuple a level-block; level l runs through the blocks
    0 to l.

    With a first stride of 2 the early layers work at the full rate, which is slow: a codec trained
    on the spot does better with one level and a first stride of 8, such as `strides: [[8, 2, 2, 2,
    2]]` (hop 128) or `[[8, 4, 2, 2, 2]]` (hop 256).
    """

    kind: Literal["jukebox"] = "jukebox"
    sample_rate: SampleRate
    strides: tuple[tuple[Stride, ...], ...] = Field(min_length=1)
    width: tuple[Width, ...]
    depth: tuple[Width, ...]
    dilation_growth: int = Field(default=3, strict=True, ge=1, le=16)
    dimension: Width
    n_codes: Codes

    def hop(self, level: int) -> int:
        """Samples a code of `level` stands for."""
        return prod(stride for block in self.strides[: level + 1] for stride in block)


PUBLISHED = JukeboxArchitecture(
    sample_rate=22050,  # trained at 44,100; the dance-to-music systems run it at half that rate
    strides=((2, 2, 2), (2, 2), (2, 2)),
    width=(64, 32, 32),
    depth=(8, 4, 4),
    dilation_growth=3,
    dimension=64,
    n_codes=2048,
)


class JukeboxVQVAE(nn.Module):
    """All levels of a VQ-VAE, of which one is used; the levels share nothing, so the others cost no
    time.

    The state dict has the keys and shapes of the published one (669 tensors at the published
    sizes).
    """

    def __init__(self, architecture: JukeboxArchitecture, level: int = -1):
        super().__init__()
        sizes, n_levels = architecture, len(architecture.strides)
        if not len(sizes.width) == len(sizes.depth) == n_levels:
            raise UserError(
                f"A VQ-VAE of {n_levels} levels needs {n_levels} widths and depths, one for each"
                " level."
            )
        if any(stride < 2 or stride % 2 for block in sizes.strides for stride in block):
            raise UserError(f"The strides of a VQ-VAE must be even numbers, not {sizes.strides}.")
        if not -n_levels <= level < n_levels:
            raise UserError(
                f"This VQ-VAE has levels 0 to {n_levels - 1}; level {level} does not exist."
            )
        self.architecture, self.level = architecture, level % n_levels
        self.sample_rate, self.hop, self.n_codes = (
            sizes.sample_rate,
            sizes.hop(self.level),
            sizes.n_codes,
        )
        self.provenance: dict = {"weights": "random"}

        def halves(half: type) -> nn.ModuleList:
            dilations = [[sizes.dilation_growth**i for i in range(depth)] for depth in sizes.depth]
            return nn.ModuleList(
                half(sizes.width[i], sizes.dimension, sizes.strides[: i + 1], dilations[i])
                for i in range(n_levels)
            )

        self.encoders, self.decoders = halves(Encoder), halves(Decoder)
        codebooks = [Codebook(sizes.n_codes, sizes.dimension) for _ in range(n_levels)]
        self.bottleneck = nn.ModuleDict({"level_blocks": nn.ModuleList(codebooks)})

    @property
    def encoder(self) -> Encoder:
        """The encoder of the level in use."""
        encoder = self.encoders[self.level]
        assert isinstance(encoder, Encoder)
        return encoder

    @property
    def decoder(self) -> Decoder:
        """The decoder of the level in use."""
        decoder = self.decoders[self.level]
        assert isinstance(decoder, Decoder)
        return decoder

    @property
    def quantiser(self) -> Codebook:
        """The codebook of the level in use."""
        codebook = self.bottleneck.get_submodule(f"level_blocks.{self.level}")
        assert isinstance(codebook, Codebook)
        return codebook

    @property
    def codewords(self) -> Tensor:
        """The vectors [n_codes, D] that the codes stand for."""
        return self.quantiser.table

    def latent(self, waveform: Float[Tensor, "B T"]) -> Float[Tensor, "B D L"]:
        """The encoder's output [B, D, L] before quantisation, for waveforms [B, T]; L = T // hop.
        Keeps gradients.
        """
        return self.encoder(waveform.unsqueeze(1))

    def synthesise(self, latent: Float[Tensor, "B D L"]) -> Float[Tensor, "B T"]:
        """Waveforms [B, L * hop], unclamped, of quantised latents [B, D, L]. Keeps gradients."""
        return self.decoder(latent).squeeze(1)

    @torch.no_grad()
    def encode(
        self, waveform: Shaped[Tensor, "..."], samples_at_once: int | None = None
    ) -> Int[Tensor, "B L"]:
        """Codes [B, L] int64 of waveforms [B, T] in [-1, 1] at `sample_rate`; L = T // hop.

        Any length: long ones go in windows whose context makes the codes equal to those of the
        whole in one piece. Raises UserError for a waveform shorter than one hop or with values that
        are not numbers.
        """
        check_waveform(waveform, self.hop)

        def codes(part: Tensor) -> Tensor:
            latent = self.latent(part)
            return self.quantiser.codes(as_rows(latent)).view(latent.shape[0], -1)

        reach = inputs_of(self.encoder.convolutions(), 0, 0)
        length = waveform.shape[-1] // self.hop
        rows, window = at_once(length, self.hop, waveform.device, samples_at_once)
        parts = waveform.to(self.quantiser.table.dtype).split(rows)
        return torch.cat(
            [encode_in_windows(codes, reach, part, self.hop, window) for part in parts]
        )

    @torch.no_grad()
    def decode(
        self, codes: Shaped[Tensor, "..."], samples_at_once: int | None = None
    ) -> Float[Tensor, "B T"]:
        """Waveforms [B, L * hop], about [-1, 1] and unclamped, of codes [B, L]; long ones in
        windows, as in `encode`.
        """
        check_codes(codes, self.n_codes)

        def waveform(part: Tensor) -> Tensor:
            return self.synthesise(self.quantiser.vectors(part).transpose(1, 2))

        reach = inputs_of(self.decoder.convolutions(), 0, self.hop - 1)
        rows, window = at_once(codes.shape[1], self.hop, codes.device, samples_at_once)
        return torch.cat(
            [
                decode_in_windows(waveform, reach, part, self.hop, window)
                for part in codes.long().split(rows)
            ]
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """The waveforms [B, L * hop] after encoding and decoding, without gradients."""
        return self.decode(self.encode(waveform))

    def save(self, path: Path, provenance: dict) -> None:
        """Writes the weights as safetensors that hold the architecture, the level and the
        provenance as well.
        """
        about = {
            "class": "JukeboxVQVAE",
            "architecture": self.architecture.model_dump(mode="json"),
            "level": self.level,
        }
        write_tensors(path, self.state_dict(), about | {"provenance": provenance})

    @classmethod
    def load(cls, path: Path, level: int | None = None) -> "JukeboxVQVAE":
        """A frozen codec from OpenAI's `vqvae.pth.tar`, a D2M-GAN or CDCD `vqvae*.pt`, or what
        `save` wrote.

        `level` 0, 1, 2 is bottom, middle, top; by default the level a file of ours was saved for,
        else the top one. Raises UserError when the file holds something else.
        """
        path = Path(path)
        state = read_state_dict(path, "model")
        about = read_about(path) or {}
        if about.get("class", cls.__name__) != cls.__name__:
            raise UserError(
                f"{path} holds a {about['class']}; expected the weights of a Jukebox VQ-VAE."
            )
        if "architecture" in about:
            codec = cls(
                JukeboxArchitecture(**about["architecture"]),
                about["level"] if level is None else level,
            )
        else:
            codec = cls(PUBLISHED, -1 if level is None else level)
        codec.load_weights(state, path)
        codec.provenance = {"sha256": sha256_file(path)} | about.get(
            "provenance", {"weights": "published"}
        )
        return codec.eval().requires_grad_(False)

    def load_weights(self, state: dict[str, Tensor], path: Path) -> None:
        """Takes over a state dict in which every key and shape must fit; raises UserError that
        names `path` when not.
        """
        own = self.state_dict()
        strange = [name for name in state if name not in own]
        wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
        if strange or wrong:
            example = (wrong or strange)[0]
            raise UserError(
                f"{path} does not hold this VQ-VAE: {len(wrong)} tensors are missing or of another"
                f" shape and {len(strange)} are unknown (the first: {example}); expected {len(own)}"
                " tensors, as in OpenAI's vqvae.pth.tar."
            )
        self.load_state_dict({name: value.float() for name, value in state.items()})
