"""The files of a finished model, and how each of them becomes a network."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.generation.settings import Captions, Dances, ModelSettings
from pipeline.model.network import Network
from pipeline.model.released import load_network, load_released
from pipeline.runtime.device import device
from pipeline.storage.tensors import read_about

EXTRACTORS = ("i3d_rgb", "i3d_flow", "raft", "clip")


@dataclass(frozen=True)
class ModelFiles:
    """Where a finished model lies: the denoiser with its condition encoders, the codec, those of
    the `EXTRACTORS` that it needs, and the card that describes it (Markdown).

    `level` and `used_codes` say how a published codec is used; `config` what a published denoiser's
    weights do not show (None: the published configurations).
    """

    settings: ModelSettings
    network: Path
    codec: Path
    extractors: dict[str, Path] = field(default_factory=dict)
    card: str = ""
    level: int | None = None
    used_codes: Path | None = None
    config: dict | Path | None = None

    def load_network(self) -> Network:
        """The denoiser on the accelerator, if there is one: ours, or a published one."""
        ours = (read_about(self.network) or {}).get("class") in ("Network", "Released")
        network = load_network(self.network) if ours else load_released(self.network, self.config)
        return network.to(device())


def needed_extractors(settings: ModelSettings) -> tuple[str, ...]:
    """Which of the `EXTRACTORS` a model of these settings looks at its conditions with."""
    match settings.reads:
        case Dances(visual=visual) if visual is not None:
            return EXTRACTORS[:3] if visual.flow else EXTRACTORS[:1]
        case Captions(text="clip"):
            return ("clip",)
        case _:
            return ()
