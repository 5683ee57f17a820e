"""BlazePose's person detector: the turned squares in which bodies lie.

The layout is MediaPipe's published one: anchors at the middles of the cells of grids with strides
8, 16, 32, 32, 32 (two a cell), boxes and four points relative to them in pixels of the input.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from pipeline.runtime.errors import UserError

SIDE = 224  # pixels of the network's input
STRIDES = (8, 16, 32, 32, 32)
N_ANCHORS, N_NUMBERS = 2254, 12
LEAST_SCORE = 0.5
SAME = 0.3  # the overlap (intersection over union) from which two boxes are of one person
_WIDER = 1.25  # the square is this much larger than the circle that holds the body
_POINTS = slice(4, 8)  # between the hips, and straight above them on the circle around the body


@dataclass(frozen=True)
class Square:
    """A turned square of a picture by its middle [2] and the way [2] from there to the middle of
    its upper side, in pixels; it may leave the picture.
    """

    middle: np.ndarray
    up: np.ndarray

    @classmethod
    def around(cls, hips: np.ndarray, top: np.ndarray) -> "Square":
        """The square that holds a body, upright as the body is."""
        return cls(hips, (top - hips) * _WIDER)

    @property
    def right(self) -> np.ndarray:
        """The way [2] from the middle to the middle of the right side."""
        return np.array([-self.up[1], self.up[0]])

    def in_frame(self, places: np.ndarray) -> np.ndarray:
        """Places [N, 2] in the frame, of places in the square (0..1, y downwards)."""
        x, y = 2 * np.asarray(places, np.float64).T - 1
        return self.middle + x[:, None] * self.right - y[:, None] * self.up


class Detector:
    """The network in a .tflite file; called with a frame it gives a square for each person."""

    def __init__(self, path: Path):
        self.network, self.input, (self.boxes, self.logits) = open_network(
            path, (1, SIDE, SIDE, 3), [(1, N_ANCHORS, N_NUMBERS), (1, N_ANCHORS, 1)]
        )
        self.anchors = anchors()

    def __call__(self, frame: np.ndarray, part: Square) -> list[Square]:
        """Where people are, the surest first, looked for in one square part of a frame."""
        picture = cut(frame, part, SIDE).astype(np.float32) / 127.5 - 1
        self.network.set_tensor(self.input, picture[None])
        self.network.invoke()
        logits = self.network.get_tensor(self.logits)[0, :, 0]
        scores = probability(logits)
        boxes = decoded(self.network.get_tensor(self.boxes)[0], self.anchors)
        sure = scores >= LEAST_SCORE
        people = merged(boxes[sure], scores[sure])
        places = [part.in_frame(person[_POINTS].reshape(2, 2)) for person in people]
        return [Square.around(hips, top) for hips, top in places if np.any(hips != top)]


def anchors() -> np.ndarray:
    """The middles [2254, 2] (x, y in 0..1) of the cells to which the network's boxes belong."""
    middles = []
    for stride in STRIDES:
        cells = (np.arange(SIDE // stride) + 0.5) * stride / SIDE
        grid = np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 2)
        middles.append(grid)
    # layers of one stride share their cells: a cell's anchors stand one after another
    layers = [np.repeat(middles[0], 2, axis=0), np.repeat(middles[1], 2, axis=0)]
    return np.concatenate([*layers, np.repeat(middles[2], 6, axis=0)])


def decoded(raw: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """Boxes [N, 12] as left, top, right, bottom and four points (x, y), in 0..1 of the picture."""
    points = raw.reshape(len(raw), -1, 2) / SIDE
    points[:, 1] /= 2  # width and height become the way from the middle to the corners
    points[:, [0, *range(2, 6)]] += middles[:, None]
    corners = np.stack([points[:, 0] - points[:, 1], points[:, 0] + points[:, 1]], axis=1)
    return np.concatenate([corners, points[:, 2:]], axis=1).reshape(len(raw), -1)


def merged(boxes: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    """One box [12] a person, the surest first: the mean, weighted by scores, of the boxes that
    overlap the surest one that is left.
    """
    people = []
    while len(boxes):
        best = boxes[scores.argmax()]
        same = overlap(boxes, best) > SAME
        same[scores.argmax()] = True
        people.append(np.average(boxes[same], axis=0, weights=scores[same]))
        boxes, scores = boxes[~same], scores[~same]
    return people


def overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Intersection over union [N] of boxes with one box."""
    common = np.minimum(boxes[:, 2:4], box[2:4]) - np.maximum(boxes[:, :2], box[:2])
    common = np.clip(common, 0, None).prod(1)
    areas = np.clip(boxes[:, 2:4] - boxes[:, :2], 0, None).prod(1)
    area = np.clip(box[2:4] - box[:2], 0, None).prod()
    return common / np.maximum(areas + area - common, 1e-9)


def probability(logits: np.ndarray) -> np.ndarray:
    """The sigmoid of a network's raw scores."""
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


def cut(frame: np.ndarray, square: Square, side: int) -> np.ndarray:
    """A square [side, side, 3] of a frame, turned upright, black beyond the picture."""
    corner, right, down = square.in_frame(np.array([[0, 0], [1, 0], [0, 1]]))
    across = np.stack([right - corner, down - corner], axis=1) / side
    start = corner + across.sum(1) / 2 - 0.5  # pixels' middles, not their corners
    to_frame = np.concatenate([across, start[:, None]], axis=1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        frame, to_frame, (side, side), flags=flags, borderMode=cv2.BORDER_CONSTANT
    )


def open_network(
    path: Path, shape: tuple[int, ...], outputs: list[tuple[int, ...]]
) -> tuple[Interpreter, int, list[int]]:
    """A network with the index of its input and of the outputs of certain shapes; raises UserError
    when the file is another one.
    """
    try:
        network = Interpreter(str(path), num_threads=1)
        network.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} is not a TensorFlow Lite network ({error}); `cdcd weights get blazepose`"
            " fetches BlazePose again."
        ) from None
    (given,), made = network.get_input_details(), network.get_output_details()
    indices = {tuple(int(n) for n in each["shape"]): each["index"] for each in made}
    if tuple(given["shape"]) != shape or not set(outputs) <= set(indices):
        raise UserError(f"{path} is not BlazePose's network of this name: its shapes are others.")
    return network, given["index"], [indices[each] for each in outputs]
