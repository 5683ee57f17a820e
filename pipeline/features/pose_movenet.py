"""MoveNet Lightning (TensorFlow Lite, int8): 17 COCO joints of one dancer, followed from frame to
frame by a square crop.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from pipeline.features.pose_following import (
    CONFIDENT,
    HIPS,
    JUMP,
    TORSO,
    moved,
    prominence,
    through_frames,
    torso_seen,
)
from pipeline.runtime.errors import UserError

SIDE = 192  # pixels of the network's input
SHORT_SIDE = 480  # pixels; larger pictures gain nothing
# the mean score from which somebody counts as a dancer, and as the one followed so far
STARTED, FOUND = 0.4, 0.25
_TORSO_MARGIN, _BODY_MARGIN = 1.9, 1.2
# how far beside the dancer, in body sizes, the picture is kept: what lies beyond may be somebody
# else
_NEIGHBOURS = 0.2


@dataclass(frozen=True)
class Crop:
    """A square of a picture by its middle and side in pixels, black beyond `left` and `right`; it
    may leave the picture.
    """

    x: float
    y: float
    side: float
    left: float = -np.inf
    right: float = np.inf


class MoveNet:
    """The network in a .tflite file; called with the frames of one clip it gives the joints of its
    main dancer.
    """

    def __init__(self, path: Path):
        if not Path(path).is_file():
            raise UserError(
                f"{path} does not exist; `cdcd weights get movenet` fetches MoveNet Lightning."
            )
        try:
            self.network = Interpreter(str(path), num_threads=1)
            self.network.allocate_tensors()
            self.input, self.output = (
                self.network.get_input_details()[0],
                self.network.get_output_details()[0],
            )
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"{path} is not a TensorFlow Lite network ({error}); fetch it again."
            ) from None
        if tuple(self.input["shape"]) != (1, SIDE, SIDE, 3) or tuple(self.output["shape"]) != (
            1,
            1,
            17,
            3,
        ):
            raise UserError(
                f"{path} is not MoveNet Lightning: it maps {self.input['shape']} to"
                f" {self.output['shape']}."
            )

    def __call__(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """Joints [T, 17, 3] (x, y in pixels, score) in frames [H, W, 3] uint8; NaN in frames
        without a dancer.
        """
        found = through_frames(frames, self._find, self._follow)
        absent = np.full((17, 3), np.nan, np.float32)
        return np.array([absent if joints is None else joints for joints in found]).reshape(
            -1, 17, 3
        )

    def _follow(self, frame: np.ndarray, last: np.ndarray) -> np.ndarray | None:
        """The dancer whose joints were `last`, in the next frame: where he was, else anywhere; None
        when he is not seen.
        """
        crop = next_crop(last)
        assert crop is not None, "who is followed has a torso"
        found = self._detect(frame, crop)
        if found[:, 2].mean() >= FOUND and next_crop(found) and moved(found, last) < JUMP:
            return found
        nearest = min(
            self._people(frame, FOUND), key=lambda joints: moved(joints, last), default=None
        )
        return nearest if nearest is not None and moved(nearest, last) < JUMP else None

    def _find(self, frame: np.ndarray) -> np.ndarray | None:
        """The most prominent dancer of a frame."""
        return max(
            self._people(frame, STARTED), key=lambda joints: prominence(joints, frame), default=None
        )

    def _people(self, frame: np.ndarray, least: float) -> list[np.ndarray]:
        """Everybody (some perhaps twice) seen in the whole picture and in upright parts of it, each
        then looked at closer.
        """
        people = []
        for crop in first_crops(frame):
            found = self._detect(frame, crop)
            for _ in range(2):
                if closer := next_crop(found):
                    found = self._detect(frame, closer)
            if found[:, 2].mean() >= least and next_crop(found):
                people.append(found)
        return people

    def _detect(self, frame: np.ndarray, crop: Crop) -> np.ndarray:
        """Joints [17, 3] in pixels of the frame, looked for in one square."""
        scale = crop.side / SIDE
        left, top = crop.x - crop.side / 2, crop.y - crop.side / 2
        to_frame = np.array([[scale, 0, left + scale / 2 - 0.5], [0, scale, top + scale / 2 - 0.5]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        square = cv2.warpAffine(
            frame, to_frame, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_CONSTANT
        )
        columns = left + (np.arange(SIDE) + 0.5) * scale
        square[:, (columns < crop.left) | (columns > crop.right)] = 0
        self.network.set_tensor(self.input["index"], square[None].astype(self.input["dtype"]))
        self.network.invoke()
        y, x, score = self.network.get_tensor(self.output["index"])[0, 0].T
        return np.stack([left + x * crop.side, top + y * crop.side, score], axis=1).astype(
            np.float32
        )


def first_crops(frame: np.ndarray) -> list[Crop]:
    """Where to look for a dancer: the whole picture, and five overlapping upright thirds of it."""
    height, width = frame.shape[:2]
    side, half = max(height, width), width / 6
    thirds = [
        Crop(x, height / 2, side, x - half, x + half) for x in np.linspace(half, width - half, 5)
    ]
    return [Crop(width / 2, height / 2, side), *thirds]


def next_crop(joints: np.ndarray) -> Crop | None:
    """Where to look in the next frame: around the hips, wide enough for torso and body; None when
    the torso is not seen.
    """
    seen = joints[:, 2] > CONFIDENT
    if not torso_seen(joints):
        return None
    x, y = joints[list(HIPS), :2].mean(0)
    reach = np.abs(joints[:, :2] - (x, y)).max(1)
    is_torso = seen & np.isin(np.arange(17), TORSO)
    half = max(reach[is_torso].max() * _TORSO_MARGIN, reach[seen].max() * _BODY_MARGIN, 1.0)
    margin = _NEIGHBOURS * np.ptp(joints[seen, 1])
    return Crop(
        float(x),
        float(y),
        2 * float(half),
        joints[seen, 0].min() - margin,
        joints[seen, 0].max() + margin,
    )
