"""A transform codec: frames of a short-time Fourier transform become one code each, and back.

The design of today's single-codebook codecs (Vocos: Siuzdak, 2023; WavTokenizer: Ji et al., 2024)
works at token rate only, so the same minutes of training buy more than convolutions at sample rate.
Theirs give phases as well; this one knows magnitudes alone and finds the phases when it decodes
(Griffin-Lim), so that none of its few bits and steps go into what is not heard.
Token k stands for the samples k * hop to (k + 1) * hop; T samples give ceil(T / hop) tokens.
"""

import math
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.codecs.checks import at_once, check_codes, check_waveform
from pipeline.codecs.phases import griffin_lim
from pipeline.codecs.quantisers import Codebook, as_rows
from pipeline.codecs.transform_layers import (
    LOUDEST,
    QUIETEST,
    Block,
    Frames,
    Neighbourhood,
    features,
)
from pipeline.codecs.windows import decode_in_windows, encode_in_windows
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file
from pipeline.runtime.params import Codes, SampleRate, Section
from pipeline.storage.tensors import read_about, read_state_dict, write_tensors

Blocks = Annotated[int, Field(strict=True, ge=1, le=256)]


class TransformArchitecture(Section):
    """The sizes of a transform codec: one code every `hop` samples, `blocks` in the encoder and in
    the decoder each, `heads` of attention (0: none) to the `span` tokens before and after.

    A hop that divides a clip's samples gives every clip whole tokens. `iterations` of Griffin-Lim
    find the phases of what is decoded.
    """

    kind: Literal["transform"]
    sample_rate: SampleRate
    hop: int = Field(strict=True, ge=8, le=2**16)
    width: int = Field(strict=True, ge=4, le=2**14)
    blocks: tuple[Blocks, Blocks]
    kernel: int = Field(default=7, strict=True, ge=1, le=255)
    expansion: int = Field(default=3, strict=True, ge=1, le=64)
    heads: int = Field(default=0, strict=True, ge=0, le=1024)
    span: int = Field(default=32, strict=True, ge=1, le=4096)
    dimension: int = Field(strict=True, ge=2, le=4096)
    n_codes: Codes
    iterations: int = Field(default=32, strict=True, ge=1, le=1000)


class TransformCodec(nn.Module):
    """Encoder, codebook and decoder; a code is the codeword nearest to a direction of `dimension`
    numbers.

    Directions are taken from the mean latent: without that, the first steps of a training turn all
    of them the same way.
    """

    def __init__(self, architecture: TransformArchitecture):
        super().__init__()
        a = self.architecture = architecture
        if a.kernel % 2 == 0:
            raise UserError(f"The kernel of a transform codec must be odd, not {a.kernel}.")
        if a.heads and a.width % a.heads:
            raise UserError(f"{a.heads} heads do not divide a width of {a.width}.")
        self.sample_rate, self.hop, self.n_codes = a.sample_rate, a.hop, a.n_codes
        self.provenance: dict = {"weights": "random"}
        self.frames = Frames(a.hop)
        self.encoder = nn.Sequential(
            nn.Linear(2 * self.frames.bins, a.width),
            nn.LayerNorm(a.width),
            *self._blocks(a.blocks[0]),
            nn.LayerNorm(a.width),
            nn.Linear(a.width, a.dimension),
        )
        self.centre = nn.BatchNorm1d(a.dimension, momentum=0.02, affine=False)
        self.quantiser = Codebook(a.n_codes, a.dimension)
        attention = [Neighbourhood(a.width, a.heads, a.span)] if a.heads else []
        blocks = self._blocks(a.blocks[1])
        self.decoder = nn.Sequential(
            nn.Linear(a.dimension, a.width),
            *blocks[: len(blocks) // 2],
            *attention,
            *blocks[len(blocks) // 2 :],
            nn.LayerNorm(a.width),
        )
        self.head = nn.Linear(a.width, self.frames.bins)

    def _blocks(self, count: int) -> list[Block]:
        a = self.architecture
        return [Block(a.width, a.kernel, a.expansion, 1 / count) for _ in range(count)]

    @property
    def codewords(self) -> Tensor:
        """The vectors [n_codes, D] that the codes stand for."""
        return self.quantiser.table

    @torch.no_grad()
    def adapt(self, waveform: Tensor) -> None:
        """Sets each bin of an untrained decoder to its mean level in sounds [B, T]."""
        self.head.bias.copy_(self.magnitudes(waveform).log().mean((0, 1)))

    def magnitudes(self, waveform: Tensor) -> Tensor:
        """The magnitudes [B, L, bins], at least `QUIETEST`, of the frames of waveforms [B, T];
        silence fills the last hop.
        """
        whole = F.pad(waveform, (0, -waveform.shape[1] % self.hop))
        return self.frames(whole).abs().clamp_min(QUIETEST)

    def latent(self, magnitude: Tensor) -> Tensor:
        """The encoder's directions [B, D, L], of length 1, for magnitudes [B, L, bins]. Keeps
        gradients.
        """
        latent = self.encoder(features(magnitude)).transpose(1, 2)
        return F.normalize(self.centre(latent), dim=1)

    def spectrum(self, latent: Tensor) -> Tensor:
        """Log magnitudes [B, L, bins] of quantised latents [B, D, L]. Keeps gradients."""
        levels = self.head(self.decoder(latent.transpose(1, 2))).float()
        return levels.clamp(math.log(QUIETEST), LOUDEST)

    @torch.no_grad()
    def encode(self, waveform: Tensor, samples_at_once: int | None = None) -> Tensor:
        """Codes [B, L] int64 of waveforms [B, T] in [-1, 1] at `sample_rate`; L = ceil(T / hop).

        Any length: long ones go in windows whose context makes the codes equal to those of the
        whole in one piece. Raises UserError for an empty waveform or values that are not numbers.
        """
        check_waveform(waveform, 1)
        whole = F.pad(waveform, (0, -waveform.shape[1] % self.hop)).to(self.head.weight.dtype)

        def codes(part: Tensor) -> Tensor:
            latent = self.latent(self.magnitudes(part))
            return self.quantiser.codes(as_rows(latent)).view(latent.shape[0], -1)

        around = self._reach(self.architecture.blocks[0]) * self.hop + self.frames.before
        reach = (-around, around + 2 * self.hop)
        length = whole.shape[1] // self.hop
        rows, window = at_once(length, self.hop, whole.device, samples_at_once)
        parts = whole.split(rows)
        return torch.cat(
            [encode_in_windows(codes, reach, part, self.hop, window) for part in parts]
        )

    @torch.no_grad()
    def decode(self, codes: Tensor, samples_at_once: int | None = None) -> Tensor:
        """Waveforms [B, L * hop], about [-1, 1] and unclamped, of codes [B, L]; long ones in
        windows, as in `encode`.
        """
        check_codes(codes, self.n_codes)

        def waveform(part: Tensor) -> Tensor:
            levels = self.spectrum(self.quantiser.vectors(part).transpose(1, 2))
            return griffin_lim(levels.exp(), self.frames, a.iterations)

        a = self.architecture
        span = a.span if a.heads else 0
        overlap = 3 * (a.iterations + 1)  # frames that each passing to and fro sees further
        around = self._reach(a.blocks[1]) + span + overlap
        rows, window = at_once(codes.shape[1], self.hop, codes.device, samples_at_once)
        return torch.cat(
            [
                decode_in_windows(waveform, (-around, around), part, self.hop, window)
                for part in codes.long().split(rows)
            ]
        )

    def _reach(self, blocks: int) -> int:
        """How many tokens to either side so many blocks look."""
        return blocks * (self.architecture.kernel // 2)

    def forward(self, waveform: Tensor) -> Tensor:
        """The waveforms [B, L * hop] after encoding and decoding, without gradients."""
        return self.decode(self.encode(waveform))

    def save(self, path: Path, provenance: dict, dtype: torch.dtype = torch.float32) -> None:
        """Writes the weights as safetensors that hold the architecture and the provenance as well;
        in bfloat16 a file is half as large, and `load` makes float32 of it again.
        """
        about = {
            "class": "TransformCodec",
            "architecture": self.architecture.model_dump(mode="json"),
            "provenance": provenance,
        }
        state = {
            name: value.to(dtype) if value.is_floating_point() else value
            for name, value in self.state_dict().items()
        }
        write_tensors(path, state, about)

    @classmethod
    def load(cls, path: Path) -> "TransformCodec":
        """A frozen codec in float32 from what `save` wrote; raises UserError for anything else."""
        path = Path(path)
        state, about = read_state_dict(path), read_about(path) or {}
        if about.get("class") != cls.__name__:
            raise UserError(
                f"{path} holds {about.get('class', 'no codec of ours')}; expected the weights of a"
                " transform codec."
            )
        codec = cls(TransformArchitecture(**about["architecture"]))
        own = codec.state_dict()
        wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
        if wrong or len(state) != len(own):
            raise UserError(
                f"{path} does not hold the codec that it says it holds; make or fetch it again."
            )
        codec.load_state_dict(state)  # into float32, whatever the file has
        codec.provenance = {"sha256": sha256_file(path)} | about["provenance"]
        return codec.eval().requires_grad_(False)
