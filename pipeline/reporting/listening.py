"""The paper's two listening tests as one static page: coherence with the video, and sound quality
without it.

Blinded: the page holds numbers where the systems' names would be; who is who is written to
key.json, which stays with the experimenter. The order of everything is drawn from the seed and, on
the page, from the listener's own number, so that each hears another order and the same listener the
same again. Answers are kept in the browser until they are saved as a file.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.reporting.audio import write_m4a
from pipeline.reporting.listening_results import FORMAT, TESTS
from pipeline.reporting.page import data_uri, environment
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, write_json
from pipeline.runtime.scratch import fingerprint
from pipeline.runtime.seeds import numpy_generator

SYSTEMS = ("ground_truth", "reconstruction", "model", "model_shuffled", "nearest_neighbour")
CHECK_SECONDS, CHECK_RATE = 2.0, 22050
CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True)
class Trial:
    """One thing to rate: `code` says which to the experimenter alone. `expected` is set for
    attention checks.
    """

    code: str
    test: str
    item: str
    system: str
    audio: Path | None
    video: Path | None
    expected: int | None = None


def gather(folders: dict[str, Path], systems: tuple[str, ...], n_items: int) -> list[Trial]:
    """The trials of the examples in `folders` (label of the run -> folder): every item with every
    system in both tests.

    With one run systems go by their row; with several, each run's `model` goes by its label and the
    rest come from the first. Raises UserError when a folder holds no dance examples or an item is
    missing a system.
    """
    trials = []
    for number, (label, folder) in enumerate(folders.items()):
        for clip in _clips(folder)[:n_items]:
            sounds = {sound["row"]: folder / sound["audio"] for sound in clip["sounds"]}
            for row in systems if number == 0 else ("model",):
                if row not in sounds and clip["split"] == "infer":
                    continue
                if row not in sounds:
                    raise UserError(
                        f"{folder}: clip {clip['id']} has no sound of {row!r}; it has"
                        f" {', '.join(sounds)}."
                    )
                name = label if row == "model" and len(folders) > 1 else row
                video = folder / clip["video"] if clip["video"] else None
                tests = TESTS if video else ("quality",)
                trials += [Trial("", test, clip["id"], name, sounds[row], video) for test in tests]
    return trials


def _clips(folder: Path) -> list[dict]:
    try:
        examples = json.loads((folder / "examples.json").read_text())
    except FileNotFoundError:
        raise UserError(
            f"{folder / 'examples.json'} does not exist; run `cdcd evaluate` for the data set"
            " first."
        ) from None
    if examples["task"] != "dance" or not examples["clips"]:
        raise UserError(f"{folder} holds no dance examples; a listening test needs music.")
    return examples["clips"]


def write_listening_test(out: Path, trials: list[Trial], n_checks: int, seed: int) -> Path:
    """Fills the folder `out` with index.html (give it to listeners) and key.json (keep it); returns
    the page's path.

    Attention checks are sounds that ask for a certain rating in so many beeps; who misses one is
    left out by `cdcd mos`.
    """
    generator = numpy_generator(seed, "listening")
    trials = [trials[number] for number in generator.permutation(len(trials))]
    with atomic(out) as temporary:
        temporary.mkdir()
        trials += _checks(temporary, n_checks, generator)
        trials = [_coded(trial, number, generator) for number, trial in enumerate(trials)]
        study = fingerprint([[t.code, t.test, t.item, t.system, t.expected] for t in trials], seed)[
            :12
        ]
        media: dict[Path | None, int] = {}
        shown = [
            {
                "code": trial.code,
                "test": trial.test,
                "audio": media.setdefault(trial.audio, len(media)),
                "video": (
                    media.setdefault(trial.video, len(media)) if trial.test == "coherence" else None
                ),
            }
            for trial in trials
        ]
        pages = environment().get_template("listen.html.j2")
        content = {
            "study": study,
            "format": FORMAT,
            "trials": shown,
            "media": [data_uri(path) for path in media if path is not None],
        }
        (temporary / "index.html").write_text(
            pages.render(study=study, tests=TESTS, content=_script_safe(content))
        )
        for path in temporary.glob("check_*.m4a"):
            path.unlink()
        key = {
            t.code: {"test": t.test, "item": t.item, "system": t.system, "expected": t.expected}
            for t in trials
        }
        write_json(temporary / "key.json", {"study": study, "format": FORMAT, "trials": key})
    return out / "index.html"


def _coded(trial: Trial, number: int, generator: np.random.Generator) -> Trial:
    """The trial under a code that says nothing: letters drawn at random, and its number so that no
    two are alike.
    """
    letters = "".join(generator.choice(list(CODE_LETTERS), 4))
    return Trial(
        f"{letters}{number}",
        trial.test,
        trial.item,
        trial.system,
        trial.audio,
        trial.video,
        trial.expected,
    )


def _checks(folder: Path, n_checks: int, generator: np.random.Generator) -> list[Trial]:
    """Attention checks, in the quality test: one to five beeps that ask for that rating."""
    checks = []
    for number in range(n_checks):
        expected = int(generator.integers(1, 6))
        path = folder / f"check_{number}.m4a"
        write_m4a(path, beeps(expected), CHECK_RATE)
        checks.append(Trial("", "quality", f"check {number}", "attention", path, None, expected))
    return checks


def beeps(count: int) -> np.ndarray:
    """`count` beeps of 0.15 s, 0.35 s apart, [T] at 22,050 Hz."""
    time = np.arange(int(CHECK_SECONDS * CHECK_RATE)) / CHECK_RATE
    on = (time % 0.35 < 0.15) & (time < 0.35 * count)
    return (0.4 * np.sin(2 * np.pi * 880 * time) * on).astype(np.float32)


def _script_safe(content: dict) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(content, separators=(",", ":")).replace("</", "<\\/")
