"""Making several results one after another: targets checked before any work, files that cannot be
used told and left out, the rest done.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cdcd.finding import Task, load
from pipeline.generation.opening import Model
from pipeline.generation.results import Music, Pictures, for_each_seed
from pipeline.generation.timings import Timings
from pipeline.media.audio import WRITTEN
from pipeline.runtime.errors import UserError

DOES: dict[str, str] = {
    "dance": "makes music for dances",
    "caption": "makes pictures of captions (--text)",
    "class": "makes pictures of classes (--label)",
}


@dataclass(frozen=True)
class Job:
    """Where the results go (`out`/NAME with each of `endings`), for which seeds, whether earlier
    ones are replaced, the sound cleaned, and the time told.
    """

    out: Path
    endings: Sequence[str]
    seeds: Sequence[int]
    force: bool = False
    clean: bool = False
    verbose: bool = False

    def check(self, names: Sequence[str], inputs: Sequence[Path]) -> None:
        """Raises UserError, before any work, where a result could not be written or would replace
        something (`check_targets`).
        """
        targets = [
            target
            for name in names
            for ending in self.endings
            for target in for_each_seed(self.out / f"{name}{ending}", self.seeds)
        ]
        check_targets(list(inputs), targets, self.force)

    def make(
        self,
        named: Mapping[str, Path | str],
        make: Callable[[Path | str], Music | Pictures],
        opened: Timings,
    ) -> None:
        """Writes what `make` makes of each input under its name, and prints it.

        Inputs that cannot be used are told at once; after all others are done they end in a
        UserError.
        """
        mistakes: list[UserError] = []
        for name, wanted in named.items():
            try:
                made = make(wanted)
                self._save(made, name, str(wanted))
                if self.verbose:
                    print("\n".join([f"{wanted}:", *made.timings.lines()]))
            except UserError as mistake:
                mistakes.append(mistake)
                if len(named) > 1:
                    print(f"{wanted} left out: {mistake}", file=sys.stderr)
        if self.verbose:
            print("\n".join(["Once:", *opened.lines()[:-1]]))
        if mistakes and len(named) == 1:
            raise mistakes[0]
        if mistakes:
            raise UserError(
                f"{len(mistakes)} of {len(named)} could not be used; the reasons stand above."
            )

    def _save(self, made: Music | Pictures, name: str, wanted: str) -> None:
        written = []
        for ending in self.endings:
            path = self.out / f"{name}{ending}"
            written += made.save(path, self.clean) if isinstance(made, Music) else made.save(path)
        print(f"{wanted}: {', '.join(map(str, written))}")


def check_targets(inputs: list[Path], targets: list[Path], force: bool) -> None:
    """Raises UserError, before any work, where a target is an input, stands already (without
    `force`), or cannot be written.

    Makes the folder of the targets; an input is recognised through links and whatever its name.
    """
    folder = targets[0].parent
    for target in targets:
        if target.exists() and any(file.exists() and target.samefile(file) for file in inputs):
            raise UserError(
                f"{target} is one of your files and would be written over; choose another folder"
                " with --out."
            )
    if len(set(targets)) < len(targets):
        twice = next(target for target in targets if targets.count(target) > 1)
        raise UserError(
            f"Two of the inputs would both become {twice}; rename one of them, or give them one"
            " after the other."
        )
    present = [target for target in targets if target.exists()]
    if present and not force:
        others = f" and {len(present) - 1} more" if len(present) > 1 else ""
        raise UserError(
            f"{present[0]}{others} exist already; choose another folder with --out, or --force to"
            " replace them."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"--out {folder} cannot be written to ({error.strerror}); choose another folder."
        ) from None


def asked_task(dance: object, text: object, label: object) -> Task:
    """What is to be made, by which of the three is given; raises UserError unless it is one."""
    given: dict[Task, object] = {"dance": dance, "caption": text, "class": label}
    tasks: list[Task] = [task for task, thing in given.items() if thing not in (None, [])]
    if len(tasks) != 1:
        raise UserError(
            f"Give a dance, or --text, or --label: one of the three, not {len(tasks)} of them."
        )
    return tasks[0]


def opened_for(task: Task, name: str | None, rev: str | None, timings: Timings) -> Model:
    """The model that was asked for; raises UserError for one of another task."""
    model = load(name, rev=rev, task=task, timings=timings)
    if model.task != task:
        raise UserError(f"The model {model.name} {DOES[model.task]}; choose another with --model.")
    return model


def sound_endings(format: str, sound_only: bool) -> list[str]:
    """The endings of the files that music is written to; raises UserError for an unknown format."""
    sound = f".{format.lower().lstrip('.')}"
    if sound not in WRITTEN:
        known = ", ".join(ending.lstrip(".") for ending in WRITTEN)
        raise UserError(f"--format {format} cannot be written; choose one of {known}.")
    return [sound] if sound_only else [".mp4", sound]
