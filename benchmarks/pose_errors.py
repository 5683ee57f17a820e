"""`python -m benchmarks.pose_errors VIDEO KEYPOINTS`: the tables of docs/poses.md, how far the
readers of poses are off, against AIST++'s 2D keypoints of the same sequence.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.page import write_results
from benchmarks.pose_measures import Errors, measured
from pipeline.features import pose_blazepose, pose_movenet
from pipeline.features.pose_files import AIST_FPS, AIST_HEIGHT
from pipeline.media.video import read_frames
from pipeline.runtime.errors import UserError
from pipeline.storage.unpickle import load_pickle
from pipeline.storage.weights import weights_file

PAGE = Path(__file__).parents[1] / "docs" / "poses.md"
KEPT_FPS = 20.0  # the rate at which data sets keep poses by default
_LAGS = ("1/60", "1/30", "0.05", "0.1", "0.2", "0.5", "1")


def truth_of(file: Path, camera: int) -> np.ndarray:
    """AIST++'s 2D keypoints [T, 17, 2] of one camera, in heights of the picture; NaN in gaps."""
    content = load_pickle(file)
    if not isinstance(content, dict) or "keypoints2d" not in content:
        raise UserError(f"{file} is no AIST++ keypoints2d file; give that of the video's sequence.")
    points = np.asarray(content["keypoints2d"][camera], np.float64)
    points[~(points[..., 2] > 0)] = np.nan
    return points[..., :2] / AIST_HEIGHT


def main(
    video: Annotated[Path, typer.Argument(help="A video of AIST.")],
    keypoints: Annotated[Path, typer.Argument(help="AIST++'s keypoints2d of its sequence.")],
    camera: Annotated[int, typer.Option(help="Which of the nine, from 0.")] = 0,
    fps: Annotated[float, typer.Option(help="Frames looked at, and compared, a second.")] = 60.0,
    blazepose: Annotated[str, typer.Option(help="Its weights: a name or a path.")] = "blazepose",
    movenet: Annotated[str, typer.Option(help="Its weights: a name or a path.")] = "movenet",
    write: Annotated[bool, typer.Option("--write", help="Into docs/poses.md.")] = False,
) -> None:
    """Prints how BlazePose and MoveNet err on a video, against its annotated keypoints."""
    try:
        truth = truth_of(keypoints, camera)
        readers = {
            "MoveNet": (pose_movenet.MoveNet(weights_file(movenet)), pose_movenet.SHORT_SIDE),
            "BlazePose": (
                pose_blazepose.BlazePose(weights_file(blazepose)),
                pose_blazepose.SHORT_SIDE,
            ),
        }
        found, kept, every = {}, {}, max(1, round(fps / KEPT_FPS))
        for name, (reader, side) in readers.items():
            joints = reader(read_frames(video, fps, short_side=side))
            joints[..., :2] /= side
            places = np.round(np.arange(len(joints)) * AIST_FPS / fps).astype(int)
            places = places[places < len(truth)]
            joints, there = joints[: len(places)], truth[places]
            found[name] = measured(joints, there, fps)
            kept[name] = measured(joints[::every], there[::every], fps / every)
        what = f"{video.stem}, camera {camera}, {len(places)} frames"
        lines = tables(found, kept, what, fps, fps / every)
        typer.echo("\n".join(lines))
        if write:
            write_results(PAGE, lines)
    except UserError as mistake:
        typer.echo(mistake, err=True)
        raise typer.Exit(1) from None


def tables(
    found: dict[str, Errors], kept: dict[str, Errors], what: str, fps: float, kept_fps: float
) -> list[str]:
    """Lines of Markdown that show the errors of some readers, by their names: of all frames, and of
    those that are kept.
    """
    return [
        f"### Distances at {fps:g} frames a second: {what}\n",
        *_joints(found, "distance", with_bias=True),
        f"\n### Jitter at {fps:g} frames a second: change of the error from frame to frame\n",
        *_joints(found, "jitter", with_bias=False),
        f"\n### Jitter at {kept_fps:g} frames a second: the same among the frames that are kept\n",
        *_joints(kept, "jitter", with_bias=False),
        f"\n### In time at {fps:g} frames a second: how long errors last\n",
        *_time(found),
    ]


def _joints(found: dict[str, Errors], which: str, with_bias: bool) -> list[str]:
    columns = ["50 %", "90 %", "99 %"] + (["bias"] if with_bias else [])
    lines = ["| joints | " + " | ".join(f"{n} {c}" for n in found for c in columns) + " |"]
    lines.append("|---" * (1 + len(columns) * len(found)) + "|")
    for joints in next(iter(found.values())).distance:
        cells = []
        for errors in found.values():
            cells += [f"{value:.3f}" for value in getattr(errors, which)[joints]]
            cells += [f"{errors.bias[joints]:.3f}"] if with_bias else []
        lines.append(f"| {joints} | " + " | ".join(cells) + " |")
    return lines


def _time(found: dict[str, Errors]) -> list[str]:
    rows = {"PCK@0.1 of the box": [f"{each.pck:.3f}" for each in found.values()]}
    for number, lag in enumerate(_LAGS):
        cells = [f"{each.lags[number]:.2f}" for each in found.values()]
        rows[f"correlation of the error after {lag} s"] = cells
    for number, lag in enumerate(_LAGS):
        cells = [f"{each.near_lags[number]:.2f}" for each in found.values()]
        rows[f"the same of joints within 0.2 torsos, after {lag} s"] = cells
    rows["share of its variance common to all joints"] = [
        f"{each.shared:.2f}" for each in found.values()
    ]
    for pair in next(iter(found.values())).swaps:
        rows[f"left and right exchanged: {pair}"] = [
            f"{each.swaps[pair]:.2%}" for each in found.values()
        ]
    rows["joints astray (over 0.5 torsos off)"] = [f"{each.astray:.2%}" for each in found.values()]
    rows["joints with a score below 0.2"] = [f"{each.faint:.2%}" for each in found.values()]
    rows["frames without a dancer"] = [f"{each.unseen:.2%}" for each in found.values()]
    for kind in ("swap", "astray", "faint", "no dancer"):
        rows[f"frames a stretch lasts ({kind}): number, 50 %, 90 %, longest"] = [
            _lengths(each.runs[kind]) for each in found.values()
        ]
    rows["median score of joints within 0.2 torsos, and of those astray"] = [
        f"{each.scores[0]:.2f}, {each.scores[1]:.2f}" for each in found.values()
    ]
    lines = ["| | " + " | ".join(found) + " |", "|---" * (1 + len(found)) + "|"]
    return lines + [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]


def _lengths(stretches: list[int]) -> str:
    if not stretches:
        return "0"
    half, most = np.percentile(stretches, (50, 90))
    return f"{len(stretches)}, {half:.0f}, {most:.0f}, {max(stretches)}"


if __name__ == "__main__":
    typer.run(main)
