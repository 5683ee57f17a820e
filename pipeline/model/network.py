"""A condition encoder and a denoiser as one network: built from settings and facts about the data,
saved, loaded.
"""

from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipeline.model.condition import Condition
from pipeline.model.denoiser import Denoiser, DenoiserConfig
from pipeline.model.encoders.fuse import DanceConfig, DanceEncoder
from pipeline.model.encoders.label import LabelEncoder
from pipeline.model.encoders.text import ClipTextCondition, TextConfig, TextEncoder
from pipeline.runtime.errors import UserError
from pipeline.runtime.params import Section
from pipeline.runtime.seeds import derived_seed
from pipeline.storage.poses import PoseKind
from pipeline.storage.tensors import read_about, read_state_dict, write_tensors


class DanceModel(Section):
    """Settings of a dance-to-music network."""

    denoiser: DenoiserConfig
    condition: DanceConfig


class CaptionModel(Section):
    """Settings of a caption-to-image network; without a text encoder it reads CLIP's frozen
    features.
    """

    denoiser: DenoiserConfig
    text: TextConfig | None = None


class ClassModel(Section):
    """Settings of a class-to-image network."""

    denoiser: DenoiserConfig


class DanceInputs(Section):
    """What the dances look like: the kind of pose, frames of motion in a training clip, numbers of
    an I3D step, genres.
    """

    pose: PoseKind
    n_frames: int
    visual_numbers: int
    n_genres: int


class CaptionInputs(Section):
    """What the captions look like: the BPE tokens that occur (learned text encoder), or the size of
    CLIP's features.
    """

    vocabulary: tuple[int, ...] | None
    clip_size: tuple[int, int] | None


class ClassInputs(Section):
    """How many classes there are."""

    n_classes: int


TASKS = {
    "dance": (DanceModel, DanceInputs),
    "caption": (CaptionModel, CaptionInputs),
    "class": (ClassModel, ClassInputs),
}


class Network(nn.Module):
    """What training and sampling drive: `encode` conditions, optionally `prepare` them, `features`,
    then `output`.
    """

    def __init__(self, encoder: nn.Module, denoiser: Denoiser):
        super().__init__()
        self.encoder, self.denoiser = encoder, denoiser
        self.arguments: dict = {}
        self.provenance: dict = {}

    @property
    def n_codes(self) -> int:
        """K; x_t lies in 0..K and K is the mask."""
        return self.denoiser.n_codes

    @property
    def n_steps(self) -> int:
        """T; t lies in 1..T."""
        return self.denoiser.n_steps

    @property
    def grid(self) -> tuple[int, int] | None:
        """(rows, columns) of the tokens in training; (1, L) for music."""
        return self.denoiser.grid

    @property
    def length(self) -> int:
        """How many tokens a sample has."""
        assert self.grid is not None, "a network that was trained knows its grid"
        return self.grid[0] * self.grid[1]

    @property
    def output(self) -> nn.Linear:
        """The last layer: features [B, L, width] to logits [B, L, K]."""
        return self.denoiser.output

    @property
    def empty(self) -> Tensor | None:
        """The encoder's learned null."""
        empty = getattr(self.encoder, "empty", None)
        return empty if isinstance(empty, Tensor) else None

    def encode(self, inputs: dict[str, Tensor]) -> Condition:
        """The encoded conditions of a batch of inputs by name; raises UserError for a missing or
        unfitting input.
        """
        try:
            return Condition(self.encoder(inputs), self.empty)
        except KeyError as error:
            raise UserError(
                f"This model reads `{error.args[0]}`, which is not among the inputs"
                f" ({', '.join(inputs)}); only one trained with dropout of it"
                " (train.model.condition.dropout) does without."
            ) from None

    def prepare(self, condition: Condition) -> Condition:
        """The condition with all that does not depend on x_t computed once; see
        `Denoiser.prepare`.
        """
        return self.denoiser.prepare(condition)

    def features(
        self,
        x_t: Int[Tensor, "B L"],
        t: Int[Tensor, " B"],
        condition: Condition,
        at: Int[Tensor, "B m"] | None = None,
    ) -> Float[Tensor, "B n width"]:
        """Hidden states [B, L, width] of x_t [B, L] at t [B] in 1..T under B conditions, or those
        `at` [B, m].
        """
        return self.denoiser.features(x_t, t, condition, at)


def build_network(
    config: DanceModel | CaptionModel | ClassModel,
    inputs: DanceInputs | CaptionInputs | ClassInputs,
    *,
    n_codes: int,
    grid: tuple[int, int],
    n_steps: int,
    seed: int,
) -> Network:
    """A network with weights drawn from `seed` alone; `grid` is (1, L) for music. It keeps its
    `arguments` for `save_model`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "network"))
        match config, inputs:
            case DanceModel(), DanceInputs():
                network = _dance_network(config, inputs, n_codes, grid, n_steps)
            case CaptionModel(), CaptionInputs():
                network = _caption_network(config, inputs, n_codes, grid, n_steps)
            case ClassModel(), ClassInputs():
                encoder = LabelEncoder(inputs.n_classes)
                network = Network(
                    encoder,
                    Denoiser(
                        config.denoiser, n_codes, n_steps, grid, n_classes=inputs.n_classes + 1
                    ),
                )
            case _:
                raise UserError(
                    f"A {type(config).__name__} does not go with {type(inputs).__name__}; make"
                    " model and conditions agree."
                )
    task = next(name for name, (model, _) in TASKS.items() if isinstance(config, model))
    facts = {
        "config": config.model_dump(mode="json", exclude_none=True),
        "inputs": inputs.model_dump(mode="json"),
    }
    network.arguments = {
        "task": task,
        **facts,
        "n_codes": n_codes,
        "grid": list(grid),
        "n_steps": n_steps,
    }
    return network


def _dance_network(
    config: DanceModel, inputs: DanceInputs, n_codes: int, grid: tuple[int, int], n_steps: int
) -> Network:
    condition = config.condition
    if condition.pose != inputs.pose:
        raise UserError(
            f"The model is set to read {condition.pose} poses, but the clips hold {inputs.pose};"
            " make the two agree."
        )
    encoder = DanceEncoder(
        condition,
        inputs.visual_numbers,
        inputs.n_frames,
        grid[0] * grid[1] / inputs.n_frames,
        inputs.n_genres,
    )
    is_aligned = condition.condition == "aligned"
    denoiser = Denoiser(
        config.denoiser, n_codes, n_steps, grid, condition_width=encoder.width, aligned=is_aligned
    )
    if condition.condition == "pooled":
        denoiser.freeze_idle_attention()
    return Network(encoder, denoiser)


def _caption_network(
    config: CaptionModel, inputs: CaptionInputs, n_codes: int, grid: tuple[int, int], n_steps: int
) -> Network:
    if (config.text is None) != (inputs.vocabulary is None) or (config.text is None) == (
        inputs.clip_size is None
    ):
        wanted = "CLIP features" if config.text is None else "BPE tokens"
        raise UserError(
            f"The model is set to read captions as {wanted}, but they were extracted otherwise;"
            " make the two agree."
        )
    encoder: ClipTextCondition | TextEncoder
    if config.text is None:
        assert inputs.clip_size is not None
        encoder = ClipTextCondition(*inputs.clip_size)
    else:
        assert inputs.vocabulary is not None
        encoder = TextEncoder(config.text, inputs.vocabulary)
    return Network(
        encoder, Denoiser(config.denoiser, n_codes, n_steps, grid, condition_width=encoder.width)
    )


def save_model(network: Network, path: Path, provenance: dict | None = None) -> None:
    """Writes a network made by `build_network` as one safetensors file with its arguments and
    `provenance`.
    """
    about = {"class": "Network", "arguments": network.arguments, "provenance": provenance or {}}
    write_tensors(path, network.state_dict(), about)


def load_model(path: Path) -> Network:
    """The network of `save_model` on the CPU, in eval mode; `.provenance` is what was stored with
    it.
    """
    path = Path(path)
    state = read_state_dict(path)
    about = read_about(path)
    if about is None or about.get("class") != "Network":
        raise UserError(
            f"{path} is not a model trained here; published checkpoints are read by"
            " `load_released`."
        )
    arguments = about["arguments"]
    model, facts = TASKS[arguments["task"]]
    network = build_network(
        model.model_validate(arguments["config"]),
        facts.model_validate(arguments["inputs"]),
        n_codes=arguments["n_codes"],
        grid=tuple(arguments["grid"]),
        n_steps=arguments["n_steps"],
        seed=0,
    )
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            f"{path} does not fit this version's network: {str(error).splitlines()[1].strip()}"
        ) from None
    network.provenance = about["provenance"]
    return network.eval()
