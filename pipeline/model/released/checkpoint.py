"""The authors' and VQ-Diffusion's checkpoints as networks: sizes read off the weights, names
translated, misfits refused.
"""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.model.condition import Condition
from pipeline.model.denoiser import Denoiser
from pipeline.model.encoders.label import checked_labels
from pipeline.model.network import Network
from pipeline.model.released.dance import ReleasedDanceEncoder, ReleasedMotionEncoder
from pipeline.model.released.names import released_layout, translated
from pipeline.model.released.sizes import Sizes, settings, sizes_of
from pipeline.runtime.errors import UserError
from pipeline.storage.tensors import read_tensors

ANCHOR = "content_emb.emb.weight"
MOTION = "condition_codec_motion."


class ReleasedModel(Network):
    """A published denoiser behind the interface of `Network`, with the logits in the published
    layout.
    """

    def logits(self, x_t: Tensor, t: Tensor, condition: Tensor | Condition) -> Tensor:
        """Logits [B, K, L] of x_0 for x_t [B, L] at t [B] in 1..T under features [B, S, C] or class
        numbers [B].
        """
        if isinstance(condition, Tensor):
            given = self.encoder if isinstance(self.encoder, GivenLabels | GivenFeatures) else None
            condition = Condition(given.checked(condition) if given else condition, self.empty)
        return self.output(self.features(x_t, t, condition)).transpose(1, 2)

    def encode_condition(
        self, motion: Tensor, video: Tensor, genre: Tensor | None = None
    ) -> Tensor:
        """The one condition token [B, 1, width] of a dance: motion [B, frames, numbers], I3D
        features [B, 2048], genre [B].
        """
        if not isinstance(self.encoder, ReleasedDanceEncoder):
            raise UserError("This checkpoint is not a dance model; it has no motion to encode.")
        inputs = {"motion": motion, "visual": video} | ({} if genre is None else {"genre": genre})
        return self.encode(inputs).value


class GivenFeatures(nn.Module):
    """Features that come ready made, such as CLIP's; their null is what the checkpoint learned for
    it, if it did.
    """

    def __init__(self, name: str, width: int, empty: Tensor | None):
        super().__init__()
        self.name, self.width = name, width
        self.register_buffer("empty", empty)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """The features [B, S, width] among the inputs."""
        return self.checked(inputs[self.name])

    def checked(self, features: Tensor) -> Tensor:
        """The features in float32; raises UserError for another number of them."""
        if features.dim() != 3 or features.shape[-1] != self.width:
            raise UserError(
                f"This checkpoint reads features [B, S, {self.width}]; given"
                f" {list(features.shape)}."
            )
        return features.float()


class GivenLabels(nn.Module):
    """Class numbers as they are; the checkpoints know no absent class."""

    def __init__(self, n_classes: int):
        super().__init__()
        self.n_classes, self.empty = n_classes, None

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """The labels [B] among the inputs."""
        return self.checked(inputs["label"])

    def checked(self, labels: Tensor) -> Tensor:
        """The labels; raises UserError for one that is no class."""
        return checked_labels(labels, self.n_classes, "label")


def load_released(
    path: Path, config: dict | Path | None = None, weights: Literal["ema", "model"] | None = None
) -> ReleasedModel:
    """A published checkpoint as a network in eval mode on the CPU, in float32.

    Reads the authors' AIST, TikTok and CUB training checkpoints, VQ-Diffusion's text and class
    checkpoints, and bare state dicts, pickled or safetensors. `weights` chooses the moving average
    or the last weights; without it, the average where the file holds one. `config` gives what
    weights do not show: `heads`, and optionally `grid` (rows, columns) and `steps` (checked); the
    authors' yaml, as a file or as read, says the same. Without it the published configurations are
    recognised. Raises UserError for a file that is no such checkpoint or does not fit, with the
    first keys that differ.
    """
    path = Path(path)
    wrapper, motion = _parts(path, weights)
    is_wrapped = "transformer." + ANCHOR in wrapper
    published = _below(wrapper, "transformer.") if is_wrapped else wrapper
    sizes = sizes_of(published, path)
    denoiser_config, grid = settings(sizes, config, path)
    with torch.device("meta"):
        denoiser = Denoiser(
            denoiser_config,
            sizes.n_codes,
            sizes.n_steps,
            grid,
            n_classes=sizes.condition_size if sizes.is_class else None,
            condition_width=None if sizes.is_class else sizes.condition_size,
            table=sizes.table,
        )
    _refuse_differences(released_layout(denoiser), _without_masks(published), path)
    denoiser.load_state_dict(translated(denoiser, published), assign=True)
    denoiser.to(memory_format=torch.channels_last)
    return ReleasedModel(_encoder(wrapper, motion, sizes, path), denoiser).eval()


def _parts(path: Path, weights: str | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The entries of the diffusion wrapper, and those of the motion encoder, which a moving average
    does not hold.
    """
    content = read_tensors(path)
    sets = {name: content[name] for name in ("ema", "model") if isinstance(content.get(name), dict)}
    if not sets:
        sets = {
            weights or "model": (
                content["state_dict"] if isinstance(content.get("state_dict"), dict) else content
            )
        }
    if weights is not None and weights not in sets:
        raise UserError(
            f"{path} holds no `{weights}` weights, only `{next(iter(sets))}`; ask for those."
        )
    chosen = sets[weights] if weights else next(iter(sets.values()))
    anchors = [name for name in chosen if name.endswith(ANCHOR)]
    if len(anchors) != 1:
        raise UserError(
            f"{path} holds no denoiser of CDCD or VQ-Diffusion: {len(anchors)} keys end with"
            f" {ANCHOR}, not one."
        )
    prefix = anchors[0].removesuffix(ANCHOR).removesuffix("transformer.")
    whole = sets.get("model", chosen)
    motion = {name.split(MOTION, 1)[1]: tensor for name, tensor in whole.items() if MOTION in name}
    return _below(chosen, prefix), motion


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }


def _without_masks(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters: attention registered a causal mask that it never used, and saved it."""
    return {
        name: tensor
        for name, tensor in published.items()
        if not (name.startswith("blocks.") and name.endswith(".mask"))
    }


def _refuse_differences(
    expected: dict[str, tuple[int, ...]], found: dict[str, Tensor], path: Path
) -> None:
    """Raises UserError with the first keys by which `found` differs from the `expected` shapes."""
    differences = [f"{name} is missing" for name in expected if name not in found]
    differences += [f"{name} is unknown" for name in found if name not in expected]
    differences += [
        f"{name} is {list(found[name].shape)} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in found and tuple(found[name].shape) != shape
    ]
    if differences:
        more = f"; and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise UserError(f"{path} does not fit: {'; '.join(differences[:5])}{more}.")


def _encoder(
    wrapper: dict[str, Tensor], motion: dict[str, Tensor], sizes: Sizes, path: Path
) -> nn.Module:
    """What turns a checkpoint's inputs into its condition."""
    if sizes.is_class:
        return GivenLabels(sizes.condition_size)
    fusion = next((name for name in ("lin2", "lin1") if f"{name}.weight" in wrapper), None)
    if fusion is None:
        name = "condition" if sizes.table[0] == 1 else "clip_text"
        return GivenFeatures(name, sizes.condition_size, wrapper.get("empty_text_embed"))
    genre = wrapper.get("condition_emb.genre_embed.weight") if fusion == "lin1" else None
    out, fused = wrapper[f"{fusion}.weight"].shape
    encoder = ReleasedDanceEncoder(
        ReleasedMotionEncoder.from_shapes(motion, path) if motion else None,
        nn.Linear(fused, out),
        None if genre is None else nn.Embedding(genre.shape[0], genre.shape[1]),
    )
    state = {f"motion.{name}": tensor for name, tensor in motion.items()}
    state |= {f"fusion.{name}": tensor for name, tensor in _below(wrapper, f"{fusion}.").items()}
    state |= {} if genre is None else {"genre.weight": genre}
    _refuse_differences(
        {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}, state, path
    )
    encoder.load_state_dict(state)
    return encoder
