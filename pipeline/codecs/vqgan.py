"""VQ-GAN: an image becomes a grid of codes, one for every square of f pixels, and back (Esser et
al., 2021).
"""

from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from pipeline.codecs.quantisers import GumbelQuantiser, NearestQuantiser, as_rows
from pipeline.codecs.used_codes import UsedCodes
from pipeline.codecs.vqgan_layers import Decoder, Encoder, Sizes
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import sha256_file
from pipeline.runtime.params import Codes, Section, Width, read_yaml, validate
from pipeline.storage.tensors import read_about, read_state_dict, read_tensors, write_tensors

PIXELS_AT_ONCE = 2**20  # in one pass; bounds the memory for any batch


class VQGANArchitecture(Section):
    """The sizes of a VQ-GAN, in the words of the published yaml files, and the kind of its
    quantiser.
    """

    quantiser: Literal["nearest", "gumbel"] = "nearest"
    embed_dim: Width
    n_embed: Codes
    ddconfig: Sizes


def _published(
    n_embed: int, quantiser: Literal["nearest", "gumbel"], ch_mult: tuple[int, ...]
) -> VQGANArchitecture:
    lowest = 256 // 2 ** (len(ch_mult) - 1)
    sizes = Sizes(
        double_z=False,
        z_channels=256,
        resolution=256,
        in_channels=3,
        out_ch=3,
        ch=128,
        ch_mult=ch_mult,
        num_res_blocks=2,
        attn_resolutions=(lowest,),
        dropout=0.0,
    )
    return VQGANArchitecture(quantiser=quantiser, embed_dim=256, n_embed=n_embed, ddconfig=sizes)


F8_GUMBEL = _published(8192, "gumbel", (1, 1, 2, 4))
F16 = _published(16384, "nearest", (1, 1, 2, 2, 4))


class VQGAN(nn.Module):
    """Encoder, quantiser and decoder; the state dict has the published keys. With `used_codes`
    tokens are restricted codes.
    """

    def __init__(self, architecture: VQGANArchitecture, used_codes: UsedCodes | None = None):
        super().__init__()
        sizes = architecture.ddconfig
        if sizes.double_z:
            raise UserError("double_z belongs to continuous autoencoders; a VQ-GAN has it false.")
        if architecture.quantiser == "gumbel" and architecture.embed_dim != sizes.z_channels:
            raise UserError(
                f"A Gumbel VQ-GAN needs embed_dim {architecture.embed_dim} equal to z_channels"
                f" {sizes.z_channels}."
            )
        self.architecture, self.factor = architecture, sizes.factor
        self.provenance: dict = {"weights": "random"}
        self.encoder, self.decoder = Encoder(sizes), Decoder(sizes)
        quantiser = GumbelQuantiser if architecture.quantiser == "gumbel" else NearestQuantiser
        self.quantize = quantiser(architecture.n_embed, architecture.embed_dim)
        self.quant_conv = nn.Conv2d(sizes.z_channels, architecture.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(architecture.embed_dim, sizes.z_channels, 1)
        self.restrict_to(used_codes)

    def restrict_to(self, used_codes: UsedCodes | None) -> None:
        """From now on tokens are those of `used_codes` (None: all codes); raises UserError for
        another codebook's.
        """
        if used_codes is not None and len(used_codes.restricted) != self.architecture.n_embed:
            raise UserError(
                f"The used codes are for {len(used_codes.restricted)} codes; this VQ-GAN has"
                f" {self.architecture.n_embed}."
            )
        self.used_codes = used_codes

    @property
    def n_codes(self) -> int:
        """How many different tokens `encode` gives."""
        return self.architecture.n_embed if self.used_codes is None else len(self.used_codes)

    @property
    def quantiser(self) -> NearestQuantiser | GumbelQuantiser:
        """The quantiser, under the name it has in every codec."""
        return self.quantize

    @property
    def codewords(self) -> Tensor:
        """The vectors [n_codes, D] that the codes stand for."""
        codes = torch.arange(self.n_codes, device=self.quantiser.table.device)
        full = codes if self.used_codes is None else self.used_codes.expand(codes)
        return self.quantiser.table[full]

    def latent(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """The latent [B, D, h, w] before quantisation, for images [B, 3, H, W] in [0, 1]. Keeps
        gradients.
        """
        return self.quant_conv(self.encoder(2 * images - 1))

    def synthesise(self, latent: Float[Tensor, "B D h w"]) -> Float[Tensor, "B 3 H W"]:
        """Images in about [0, 1], unclamped, of quantised latents [B, D, h, w]. Keeps gradients."""
        return (self.decoder(self.post_quant_conv(latent)) + 1) / 2

    @torch.no_grad()
    def encode(
        self, images: Shaped[Tensor, "..."], sample_with: torch.Generator | None = None
    ) -> Int[Tensor, "B L"]:
        """Tokens [B, h * w] int64, row-major, of images [B, 3, H, W] in [0, 1] whose sides are
        multiples of `factor`.

        A Gumbel quantiser takes the arg-max of its logits; with `sample_with` it draws, as the
        original does.
        """
        self._check(images)
        if sample_with is not None and self.architecture.quantiser != "gumbel":
            raise UserError(
                "Only a Gumbel quantiser can draw its codes; this VQ-GAN takes the nearest"
                " codeword."
            )
        options = {} if sample_with is None else {"generator": sample_with}
        codes = []
        for part in images.split(self._rows(images.shape[-2] * images.shape[-1])):
            codes.append(
                self.quantize.codes(as_rows(self.latent(part)), **options).view(len(part), -1)
            )
        tokens = torch.cat(codes)
        return tokens if self.used_codes is None else self.used_codes.restrict(tokens)

    @torch.no_grad()
    def decode(
        self, tokens: Shaped[Tensor, "..."], grid: tuple[int, int] | None = None
    ) -> Float[Tensor, "B 3 H W"]:
        """Images [B, 3, H, W] in [0, 1] of tokens [B, h * w]; `grid` is (h, w), by default a
        square.
        """
        height, width = grid or (int(tokens.shape[-1] ** 0.5),) * 2
        if tokens.dim() != 2 or height * width != tokens.shape[1]:
            raise UserError(
                f"Tokens shaped {tuple(tokens.shape)} are not (batch, h * w) for a grid of {height}"
                f" x {width}."
            )
        if tokens.min() < 0 or tokens.max() >= self.n_codes:
            raise UserError(
                f"Tokens run from {tokens.min()} to {tokens.max()}; this codec has 0 to"
                f" {self.n_codes - 1}."
            )
        codes = tokens.long() if self.used_codes is None else self.used_codes.expand(tokens.long())
        images = []
        for part in codes.split(self._rows(tokens.shape[1] * self.factor**2)):
            latent = self.quantize.vectors(part).transpose(1, 2).unflatten(2, (height, width))
            images.append(self.synthesise(latent).clamp(0, 1))
        return torch.cat(images)

    def forward(self, images: Tensor) -> Tensor:
        """The images [B, 3, H, W] after encoding and decoding, without gradients."""
        return self.decode(
            self.encode(images), (images.shape[-2] // self.factor, images.shape[-1] // self.factor)
        )

    def _check(self, images: Tensor) -> None:
        channels = self.architecture.ddconfig.in_channels
        if (
            images.dim() != 4
            or images.shape[1] != channels
            or images.shape[2] % self.factor
            or images.shape[3] % self.factor
        ):
            raise UserError(
                f"Expected images shaped (batch, {channels}, height, width) with sides that are"
                f" multiples of {self.factor}, got {tuple(images.shape)}."
            )
        if (
            not images.is_floating_point()
            or images.numel()
            and not (images.min() >= -1e-3 and images.max() <= 1 + 1e-3)
        ):
            raise UserError(
                "Expected images as floats in [0, 1]; divide 8-bit images by 255 first."
            )

    def _rows(self, pixels: int) -> int:
        return max(1, PIXELS_AT_ONCE // max(1, pixels))

    def save(self, path: Path, provenance: dict) -> None:
        """Writes the weights and the used codes as safetensors that hold the architecture and the
        provenance as well.
        """
        about = {
            "class": "VQGAN",
            "architecture": self.architecture.model_dump(mode="json"),
            "provenance": provenance,
        }
        tensors = self.state_dict()
        if self.used_codes is not None:
            tensors["used_codes"] = {
                "restricted": self.used_codes.restricted,
                "full": self.used_codes.full,
            }
        write_tensors(path, tensors, about)

    @classmethod
    def load(
        cls,
        path: Path,
        config: dict | Path | None = None,
        used_codes: UsedCodes | Tensor | Path | None = None,
    ) -> "VQGAN":
        """A frozen VQ-GAN from a published (Lightning) checkpoint or state dict, or from what
        `save` wrote.

        `config`: a mapping with embed_dim, n_embed, ddconfig, or a taming yaml or its path; without
        one the published f8 (Gumbel) or f16 sizes. The quantiser's kind follows from the keys.
        `used_codes`: a published mapping, or its file. Raises UserError when file and sizes do not
        fit.
        """
        path = Path(path)
        about = read_about(path) or {}
        if about.get("class", cls.__name__) != cls.__name__:
            raise UserError(f"{path} holds a {about['class']}; expected the weights of a VQ-GAN.")
        state = {
            n: v
            for n, v in read_state_dict(path, "state_dict", "model").items()
            if not n.startswith("loss.")
        }
        if "architecture" in about:
            architecture = VQGANArchitecture(**about["architecture"])
        else:
            architecture = _architecture(state, config, path)
        codec = cls(architecture, _used_codes(used_codes, path))
        codec.load_weights(state, path)
        codec.provenance = {"sha256": sha256_file(path)} | about.get(
            "provenance", {"weights": "published"}
        )
        return codec.eval().requires_grad_(False)

    def load_weights(self, state: dict[str, Tensor], path: Path) -> None:
        """Takes over a state dict that holds every key in its shape; raises UserError that names
        `path` when it does not.
        """
        own = self.state_dict()
        wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
        if wrong:
            found = tuple(state[wrong[0]].shape) if wrong[0] in state else "nothing"
            example = f"{wrong[0]}: expected {tuple(own[wrong[0]].shape)}, found {found}"
            raise UserError(
                f"{path} does not hold a VQ-GAN of these sizes: {len(wrong)} of {len(own)} tensors"
                f" are missing or of another shape ({example}); give the yaml that belongs to the"
                " file as `config`."
            )
        self.load_state_dict({name: state[name].float() for name in own})


def _architecture(
    state: dict[str, Tensor], config: dict | Path | None, path: Path
) -> VQGANArchitecture:
    gumbel = "quantize.proj.weight" in state
    if config is None:
        return F8_GUMBEL if gumbel else F16
    content = config if isinstance(config, dict) else read_yaml(config)
    content = content.get("model", content)
    content = content.get("params", content)
    known = {key: content[key] for key in ("embed_dim", "n_embed", "ddconfig") if key in content}
    return validate(
        VQGANArchitecture,
        known | {"quantiser": "gumbel" if gumbel else "nearest"},
        f"config of {path.name}",
    )


def _used_codes(given: UsedCodes | Tensor | Path | None, path: Path) -> UsedCodes | None:
    if isinstance(given, Tensor):
        return UsedCodes.from_table(given)
    if given is not None:
        return given if isinstance(given, UsedCodes) else UsedCodes.read(given)
    saved = read_tensors(path).get("used_codes") if read_about(path) else None
    return UsedCodes(saved["restricted"], saved["full"]) if saved else None
