"""The motion encoder: the convolution stacks of the paper's Table 5, along time."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.runtime.errors import UserError
from pipeline.storage.poses import SKELETONS, PoseKind, numbers_per_frame

FASTEST = 10.0  # body sizes a second; what is faster was misread
MOST_ACCENT = 5.0  # of the mean; more is a camera that jumped
CHANGE_S = 0.1  # the change of the envelope is that in a tenth of a second


def as_frames(kind: PoseKind, motion: Tensor) -> Tensor:
    """The motion [B, T, numbers] or [B, T, joints, 3] as [B, T, numbers]; raises UserError for
    another kind of pose.
    """
    frames = motion.flatten(2).float() if motion.dim() > 2 else motion
    expected = numbers_per_frame(kind)
    if frames.dim() != 3 or frames.shape[-1] != expected:
        raise UserError(
            f"This model reads {kind} poses [clips, frames, {expected}]; the motion given is"
            f" {list(motion.shape)}. Extract the clips with the kind of pose that the model was"
            " trained on."
        )
    return frames


def pose_features(
    kind: PoseKind, motion: Shaped[Tensor, "..."], fps: float
) -> Float[Tensor, "B T F"]:
    """What the encoder reads [B, T, F] of poses [B, T, numbers]: where the camera stood and how big
    the dancer is, removed.

    Keypoints: position relative to the root in units of the clip's body size, velocity in body
    sizes a second (bounded, as readers of poses jump), and visibility of each joint (absent ones,
    and NaN, are zero), then position and velocity of the root within the clip, then the accent
    envelope and its change. SMPL's translation and rotation matrices are metric
    already and pass as they are.
    """
    frames = as_frames(kind, motion)
    if kind == "smpl219":
        return frames
    joints = frames.unflatten(-1, (-1, 3))
    score = joints[..., 2:].nan_to_num(0.0).clamp(0, 1)
    is_seen = (score > 0) & joints[..., :2].isfinite().all(-1, keepdim=True)
    weight = score * is_seen
    xy = joints[..., :2].where(is_seen, 0.0)

    root = _mean(xy[:, :, SKELETONS[kind].root], weight[:, :, SKELETONS[kind].root], dim=2)
    has_root = (weight[:, :, SKELETONS[kind].root] > 0).any(2, keepdim=True)
    home = _mean(root, has_root.float(), dim=1)
    root = root.where(has_root, home)
    size = (
        _mean((xy - root).square().sum(-1, keepdim=True), weight, dim=(1, 2)).sqrt().clamp_min(1e-6)
    )

    local = ((xy - root) / size).where(is_seen, 0.0)
    path = (root - home) / size
    speed = _velocity(local, fps).where(is_seen & _previous(is_seen), 0.0).clamp(-FASTEST, FASTEST)
    per_joint = torch.cat([local, speed, weight], dim=-1).flatten(2)
    root_speed = _velocity(path, fps).clamp(-FASTEST, FASTEST)
    accents = accent_envelope((xy - home) / size, weight[..., 0])[..., None]
    changes = _velocity(accents, fps) * CHANGE_S
    return torch.cat([per_joint, path.flatten(2), root_speed.flatten(2), accents, changes], dim=-1)


def accent_envelope(
    xy: Float[Tensor, "B T J 2"], weight: Float[Tensor, "B T J"]
) -> Float[Tensor, "B T"]:
    """How quick the whole body is [B, T], 1 in the mean of the clip: its dips are the accents that
    `fit` counts.

    As there, a place that lasts one frame counts for nothing, a joint is never faster than its own
    95th percentile, and joints count by their visibility.
    """
    around = torch.stack([_previous(xy), xy, torch.cat([xy[:, 1:], xy[:, -1:]], dim=1)])
    steady = around.median(dim=0).values
    speed = (steady[:, 1:] - steady[:, :-1]).norm(dim=-1)
    if not speed.shape[1]:
        return torch.zeros_like(weight[..., 0])
    speed = speed.minimum(speed.quantile(0.95, dim=1, keepdim=True))
    both = weight[:, 1:].minimum(weight[:, :-1])
    mean = (speed * both).sum(-1) / both.sum(-1).clamp_min(1e-6)
    mean = torch.cat([mean[:, :1], mean], dim=1)
    return (mean / mean.mean(1, keepdim=True).clamp_min(1e-6)).clamp_max(MOST_ACCENT)


def _mean(values: Tensor, weight: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    return (values * weight).sum(dim, keepdim=True) / weight.sum(dim, keepdim=True).clamp_min(1e-6)


def _previous(values: Tensor) -> Tensor:
    return torch.cat([values[:, :1], values[:, :-1]], dim=1)


def _velocity(values: Tensor, fps: float) -> Tensor:
    return (values - _previous(values)) * fps


class ResidualBlock(nn.Module):
    """x + convolution over `dilation` frames to each side, then over features; [B, width, T] keeps
    its length.
    """

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.time = nn.Conv1d(
            width, width, 3, padding=dilation, dilation=dilation, padding_mode="replicate"
        )
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The features x [B, width, T] with its neighbourhood in time added."""
        return x + self.mix(F.leaky_relu(self.time(F.leaky_relu(x, 0.2)), 0.2))


def _same_length(in_width: int, out_width: int, kernel: int) -> list[nn.Module]:
    """A convolution along time that keeps the number of frames; the first and last frame are
    repeated beyond the ends.
    """
    return [
        nn.ReplicationPad1d(((kernel - 1) // 2, kernel // 2)),
        nn.Conv1d(in_width, out_width, kernel),
    ]


class MotionEncoder(nn.Module):
    """A feature [B, T, out_width] for every frame of a motion [B, T, numbers].

    Table 5: kernels of 6, 3, 3, 3, 4 frames at widths w, 2w, 4w, 4w, out (w = 256 in the paper),
    each of the first three followed by a stack of residual blocks with dilations 1, 3, 9, 27, and
    then a LeakyReLU. `as_paper` reads the poses as they are, not `pose_features`, and puts each
    LeakyReLU before its stack, as the table does. (The released code convolves along the features
    instead of time and pools to one number a feature: the table's last width of 1.)
    """

    def __init__(
        self,
        kind: PoseKind,
        fps: float,
        width: int,
        blocks: int,
        out_width: int,
        as_paper: bool = False,
    ):
        super().__init__()
        self.kind: PoseKind = kind
        self.fps, self.as_paper = fps, as_paper
        n_features = self._read(torch.zeros(1, 2, numbers_per_frame(kind), device="cpu")).shape[-1]
        layers: list[nn.Module] = []
        previous = n_features
        for kernel, wide in ((6, width), (3, 2 * width), (3, 4 * width)):
            layers += _same_length(previous, wide, kernel)
            stack = [ResidualBlock(wide, dilation=3**block) for block in range(blocks)]
            layers += [nn.LeakyReLU(0.2), *stack] if as_paper else [*stack, nn.LeakyReLU(0.2)]
            previous = wide
        layers += [
            *_same_length(previous, previous, 3),
            nn.LeakyReLU(0.2),
            *_same_length(previous, out_width, 4),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, motion: Shaped[Tensor, "..."]) -> Float[Tensor, "B T out"]:
        """Features [B, T, out_width] of a motion [B, T, numbers]."""
        return self.layers(self._read(motion).transpose(1, 2)).transpose(1, 2)

    def _read(self, motion: Tensor) -> Tensor:
        if self.as_paper:
            return as_frames(self.kind, motion)
        return pose_features(self.kind, motion, self.fps)
