"""I3D: what a clip of pictures, or of optical flow, shows and how it moves, a feature for every
eight frames.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.features.i3d_layers import LAYOUTS, PIERGIAJ, Inception, Layout, Unit, pool
from pipeline.runtime.errors import UserError
from pipeline.storage.tensors import read_about, read_state_dict, write_tensors

KINETICS_CLASSES = 400
FRAMES_PER_STEP = 8
SHORTEST = 16  # frames
_HEAD_SIDE = 7  # the head averages 7 x 7 positions, all there are at 224 pixels
_STAGES: tuple[tuple[str, tuple[int, ...] | None], ...] = (
    ("3b", (64, 96, 128, 16, 32, 32)),
    ("3c", (128, 128, 192, 32, 96, 64)),
    ("4a", None),
    ("4b", (192, 96, 208, 16, 48, 64)),
    ("4c", (160, 112, 224, 24, 64, 64)),
    ("4d", (128, 128, 256, 24, 64, 64)),
    ("4e", (112, 144, 288, 32, 64, 64)),
    ("4f", (256, 160, 320, 32, 128, 128)),
    ("5a", None),
    ("5b", (256, 160, 320, 32, 128, 128)),
    ("5c", (384, 192, 384, 48, 128, 128)),
)  # None: a maximum over windows
_POOLS = {"4a": ((3, 3, 3), (2, 2, 2)), "5a": ((2, 2, 2), (2, 2, 2))}
_FLAT = ((1, 3, 3), (1, 2, 2))


class I3D(nn.Module):
    """The network of reference 3.1, for RGB (3 channels) or flow (2), in one of the two published
    layouts.

    `width` scales all channels (1: the published network, 1/8: a narrow one for small pictures).
    State-dict names are the layout's own.
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = KINETICS_CLASSES,
        width: float = 1.0,
        layout: Layout = PIERGIAJ,
    ):
        super().__init__()
        self.layout, self.channels, self.width, self.classes = layout, channels, width, classes

        def scaled(number: int) -> int:
            return max(1, round(number * width))

        stem = {
            "1a_7x7": Unit(layout, channels, scaled(64), (7, 7, 7), (2, 2, 2)),
            "2b_1x1": Unit(layout, scaled(64), scaled(64)),
            "2c_3x3": Unit(layout, scaled(64), scaled(192), (3, 3, 3)),
        }
        for name, unit in stem.items():
            self.add_module(layout.stem.format(name), unit)
        out_width = scaled(192)
        for name, widths in _STAGES:
            if widths:
                inception = Inception(layout, out_width, [scaled(number) for number in widths])
                self.add_module(layout.inception.format(name), inception)
                out_width = inception.out_width
        self.out_width = out_width
        self.add_module(
            layout.classifier, nn.ModuleDict({"conv3d": nn.Conv3d(out_width, classes, 1)})
        )

    @classmethod
    def load(cls, path: Path) -> "I3D":
        """The network in a file, ready for `features`: a published state dict of either layout, or
        our own safetensors.

        Channels, width, classes and layout are read from the tensors. Raises UserError for any
        other file.
        """
        state = read_state_dict(path, "state_dict", "model")
        layout = next(
            (
                one
                for one in LAYOUTS.values()
                if f"{one.stem.format('1a_7x7')}.conv3d.weight" in state
            ),
            None,
        )
        if layout is None:
            known = " or ".join(one.stem.format("1a_7x7") for one in LAYOUTS.values())
            raise UserError(
                f"{path} is no I3D: it holds no {known}; expected the weights of pytorch-i3d or"
                " video_features."
            )
        first, classifier = (
            state[f"{layout.stem.format('1a_7x7')}.conv3d.weight"],
            f"{layout.classifier}.conv3d.weight",
        )
        classes = state[classifier].shape[0] if classifier in state else KINETICS_CLASSES
        with torch.device("meta"):
            network = cls(
                first.shape[1],
                classes,
                (read_about(path) or {}).get("width", first.shape[0] / 64),
                layout,
            )
        state = {
            name: value if "num_batches" in name else value.float() for name, value in state.items()
        }
        wrong = _differences(network.state_dict(), state)
        if wrong:
            raise UserError(f"{path} is no complete I3D: {wrong}.")
        network.load_state_dict(state, assign=True)
        return network.eval().requires_grad_(False)

    def save(self, path: Path, **about: object) -> None:
        """Writes the weights as safetensors that name their layout and width, with `about` beside
        them.
        """
        name = next(name for name, layout in LAYOUTS.items() if layout is self.layout)
        write_tensors(
            path, self.state_dict(), {"class": "I3D", "layout": name, "width": self.width, **about}
        )

    def forward(self, clip: Tensor) -> Tensor:
        """Class scores [B, classes] of clips [B, C, T, H, W] in [-1, 1], averaged over time."""
        classifier = self.get_submodule(f"{self.layout.classifier}.conv3d")
        scores = classifier(self._pooled(clip)[..., None, None])
        return scores.mean(dim=(2, 3, 4))

    def features(self, clip: Tensor) -> Tensor:
        """Features [B, T', 1024 * width] of clips [B, C, T, H, W] in [-1, 1]; T' = ceil(T / 8) - 1,
        at least 16 frames.

        All positions are averaged below 224 pixels; above, all averages over 7 x 7 of them.
        """
        if clip.dim() != 5 or clip.shape[1] != self.channels or clip.shape[2] < SHORTEST:
            raise UserError(
                f"This I3D reads clips [B, {self.channels}, {SHORTEST} or more frames, H, W]; given"
                f" {list(clip.shape)}."
            )
        return self._pooled(clip).transpose(1, 2)

    def _pooled(self, clip: Tensor) -> Tensor:
        """The head's average [B, 1024 * width, T'] over two steps of time and over space."""
        layout = self.layout
        x = self.get_submodule(layout.stem.format("1a_7x7"))(clip)
        x = pool(layout, x, *_FLAT)
        x = self.get_submodule(layout.stem.format("2b_1x1"))(x)
        x = self.get_submodule(layout.stem.format("2c_3x3"))(x)
        x = pool(layout, x, *_FLAT)
        for name, widths in _STAGES:
            x = (
                self.get_submodule(layout.inception.format(name))(x)
                if widths
                else pool(layout, x, *_POOLS[name])
            )
        window = (2, min(_HEAD_SIDE, x.shape[3]), min(_HEAD_SIDE, x.shape[4]))
        return F.avg_pool3d(x, window, stride=1).mean(dim=(3, 4))


def _differences(expected: dict[str, Tensor], found: dict[str, Tensor]) -> str:
    """The first way in which a state dict differs from the expected one, or an empty string."""
    for name, tensor in expected.items():
        if name not in found:
            return f"{name} is missing"
        if found[name].shape != tensor.shape:
            return f"{name} is {list(found[name].shape)}, expected {list(tensor.shape)}"
    unknown = sorted(set(found) - set(expected))
    return f"{unknown[0]} does not belong there" if unknown else ""


@torch.inference_mode()
def windowed_features(network: I3D, clips: Tensor, window: int) -> Tensor:
    """Features [B, T', 1024 * width] of clips of any length [B, C, T, H, W], at most `window`
    frames at a time.

    Windows follow each other; where the last is shorter it reaches back, and its features of frames
    already covered are left out. Clips of fewer than 16 frames are lengthened by their last frame.
    """
    length = clips.shape[2]
    if length <= window:
        short = max(0, SHORTEST - length)
        return network.features(
            torch.cat([clips, clips[:, :, -1:].expand(-1, -1, short, -1, -1)], dim=2)
        )
    parts = [
        network.features(clips[:, :, at : at + window])
        for at in range(0, length - window + 1, window)
    ]
    if rest := length % window:
        last = network.features(clips[:, :, -window:])
        parts.append(last[:, -min(last.shape[1], -(-rest // FRAMES_PER_STEP)) :])
    return torch.cat(parts, dim=1)


def rgb_input(frames: Tensor) -> Tensor:
    """RGB clips [B, C, T, H, W] in [-1, 1] from frames [B, T, H, W, 3] uint8."""
    return frames.movedim(-1, 1).float().mul(2 / 255).sub(1)
