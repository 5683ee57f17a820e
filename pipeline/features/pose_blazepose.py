"""BlazePose (MediaPipe's detector and full landmark network, TensorFlow Lite): 17 COCO joints of
one dancer, followed from frame to frame by a turned square.

Its 33 landmarks hold all joints of COCO; eyes are the pupils' centres, the inner and outer corners,
mouth, hands and feet are left out. A joint's score is the probability that it is there and seen:
presence times visibility.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from pipeline.features.pose_blazepose_detector import (
    Detector,
    Square,
    cut,
    open_network,
    probability,
)
from pipeline.features.pose_following import JUMP, moved, prominence, through_frames, torso_seen
from pipeline.runtime.errors import UserError

DETECTOR, LANDMARKS = "pose_detection.tflite", "pose_landmark_full.tflite"
SHORT_SIDE = 480  # pixels; larger pictures gain nothing
SIDE, N_LANDMARKS = 256, 39
PRESENT = 0.5  # the network's probability from which its square holds somebody
# nose, left and right: eye, ear, shoulder, elbow, wrist, hip, knee, ankle
COCO17 = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
# two further points that say where to look next: between the hips, and straight above them on the
# circle that holds the body
_HIP_CENTRE, _CIRCLE_TOP = 33, 34


@dataclass(frozen=True)
class Dancer:
    """Joints [17, 3] (x, y in pixels, score), and the square in which to look for them next."""

    joints: np.ndarray
    square: Square


class BlazePose:
    """Both networks in a folder; called with the frames of one clip it gives the joints of its main
    dancer.
    """

    def __init__(self, folder: Path):
        self.detector = Detector(_member(folder, DETECTOR))
        self.network, self.input, outputs = open_network(
            _member(folder, LANDMARKS), (1, SIDE, SIDE, 3), [(1, 5 * N_LANDMARKS), (1, 1)]
        )
        self.landmarks, self.presence = outputs

    def __call__(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """Joints [T, 17, 3] (x, y in pixels, score) in frames [H, W, 3] uint8; NaN in frames
        without a dancer.
        """
        dancers = through_frames(frames, self._find, self._follow)
        absent = np.full((17, 3), np.nan, np.float32)
        return np.array(
            [absent if dancer is None else dancer.joints for dancer in dancers]
        ).reshape(-1, 17, 3)

    def _follow(self, frame: np.ndarray, last: Dancer) -> Dancer | None:
        """The dancer who was `last`, in the next frame: where he was, else anywhere; None when he
        is not seen.
        """
        for people in chain([self._look(frame, [last.square])], self._people(frame)):
            nearest = min(
                people, key=lambda dancer: moved(dancer.joints, last.joints), default=None
            )
            if nearest and moved(nearest.joints, last.joints) < JUMP:
                return nearest
        return None

    def _find(self, frame: np.ndarray) -> Dancer | None:
        """The most prominent dancer of a frame."""
        for people in self._people(frame):
            if people:
                return max(people, key=lambda dancer: prominence(dancer.joints, frame))
        return None

    def _people(self, frame: np.ndarray) -> Iterator[list[Dancer]]:
        """Yields everybody seen in the whole picture, then in square parts of it, each looked at
        twice, the second time where the first look put the body.
        """
        for parts in first_looks(frame):
            squares = [square for part in parts for square in self.detector(frame, part)]
            first = self._look(frame, squares)
            yield self._look(frame, [dancer.square for dancer in first])

    def _look(self, frame: np.ndarray, squares: list[Square]) -> list[Dancer]:
        """Who is really to be seen in each of some squares."""
        dancers = [self._landmarks(frame, square) for square in squares]
        return [dancer for dancer in dancers if dancer and torso_seen(dancer.joints)]

    def _landmarks(self, frame: np.ndarray, square: Square) -> Dancer | None:
        """Who is in one square; None when the network sees nobody there."""
        picture = cut(frame, square, SIDE).astype(np.float32) / 255
        self.network.set_tensor(self.input, picture[None])
        self.network.invoke()
        if self.network.get_tensor(self.presence).item() < PRESENT:
            return None
        found = self.network.get_tensor(self.landmarks).reshape(N_LANDMARKS, 5)
        places = square.in_frame(found[:, :2] / SIDE)
        scores = probability(found[:, 3:]).prod(1)
        joints = np.concatenate([places, scores[:, None]], axis=1)[COCO17].astype(np.float32)
        return Dancer(joints, Square.around(places[_HIP_CENTRE], places[_CIRCLE_TOP]))


def first_looks(frame: np.ndarray) -> list[list[Square]]:
    """Where to look for people: the whole picture, and the overlapping squares along its longer
    side.
    """
    height, width = frame.shape[:2]
    half, long = min(height, width) / 2, max(height, width)
    middle = np.array([width / 2, height / 2])
    along = np.array([1.0, 0.0]) if width > height else np.array([0.0, 1.0])
    shifts = np.linspace(half - long / 2, long / 2 - half, int(np.ceil(1.5 * long / half / 2)))
    upright = np.array([0.0, -1.0])
    whole = Square(middle, upright * long / 2)
    return [[whole], [Square(middle + along * shift, upright * half) for shift in shifts]]


def _member(folder: Path, name: str) -> Path:
    file = Path(folder) / name
    if not file.is_file():
        raise UserError(f"{file} does not exist; `cdcd weights get blazepose` fetches BlazePose.")
    return file
