"""The settings of a study's rows, checked before anything starts, and the digests by which a row or
a model that is there is known as the one that is asked for.
"""

import hashlib
import tempfile
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from ruamel.yaml import YAML

from pipeline.diffusion.contrast import parse_setting
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic
from pipeline.runtime.params import read_yaml
from pipeline.runtime.scratch import fingerprint
from pipeline.storage.store import Store
from pipeline.study.grid import Planned
from stages.config import AnyDataset, read_settings
from stages.paths import Paths

ROWS_AT_ONCE = 1024
FOR_TABLES_ALONE: dict[str, object] = {
    "sample.media": 0,
    "sample.controls": False,
    "sample.ladder": [],
    "evaluate.examples": 1,
    "evaluate.controls": False,
}


@dataclass(frozen=True)
class Marks:
    """Digests: of the settings that decide the row, and of those that decide its training."""

    row: str
    training: str


def settings_of(planned: Planned, base: dict) -> dict:
    """The content of params/DATASET.yaml for a row: `base` with the row's difference; the weights
    of another run stand under its name until they are there.
    """
    content = deepcopy(base)
    if planned.start is not None:
        content["train"]["init"] = f"run {planned.start}"
    for key, value in (planned.difference | FOR_TABLES_ALONE).items():
        *path, last = key.split(".")
        section = content
        for name in path:
            section = section.setdefault(name, {})
        section[last] = value
    return content


def marks_of(rows: list[Planned], dataset: str) -> dict[str, Marks]:
    """The marks of rows by their names; raises UserError, that names the run, where its settings
    are none.
    """
    base, marks = read_yaml(Paths(dataset).settings), {}
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / f"{dataset}.yaml"
        for row in rows:
            write_yaml(file, settings_of(row, base))
            try:
                settings = read_settings(dataset, file, row.contrast)
            except UserError as mistake:
                told = str(mistake).removeprefix(f"{file}: ")
                raise UserError(f"params/study/{dataset}.yaml, {row.run}: {told}") from None
            marks[row.name] = _marks(row, settings)
    return marks


def _marks(row: Planned, settings: AnyDataset) -> Marks:
    """By what the row reads: of the contrast only the part of its own setting."""
    train = chosen(settings.train)
    contrast, kinds = train.pop("contrast"), {term.kind for term in parse_setting(row.contrast)}
    for kind in {"intra", "inter"} - kinds:
        contrast.pop(f"{kind}_weight", None)
    training = fingerprint(row.contrast, contrast if kinds else None, train, row.start)
    measured = (
        chosen(settings.sample, "media", "controls", "ladder"),
        chosen(settings.evaluate, "examples", "controls"),
    )
    return Marks(fingerprint(training, *measured)[:16], training[:12])


def chosen(section: BaseModel, *but: str) -> dict:
    """What of a section is not its default in code, as JSON values, without the keys `but`: neither
    a new key at its default nor an old default written out makes a difference.
    """
    values = {
        name: getattr(section, name)
        for name, field in type(section).model_fields.items()
        if name not in but and getattr(section, name) != field.default
    }
    return {
        name: chosen(value) if isinstance(value, BaseModel) else to_jsonable_python(value)
        for name, value in values.items()
    }


def world_of(dataset: str, shared: dict[str, object]) -> str:
    """A digest of what the rows of a study must share to be compared: the content of tokens and
    conditions, number by number, so that a store written anew with the same content stays the same
    world, and the basic settings but for contrast, seed and sampling, which are what rows differ
    in, with what all runs of the grid share.
    """
    paths = Paths(dataset)
    tokens, conditions = Store(paths.tokens, "tokens"), Store(paths.conditions, "conditions")
    settings = read_settings(dataset, paths.settings)
    basics = [
        chosen(settings.media),
        chosen(settings.negatives),
        chosen(settings.train, "contrast", "seed", "init"),
        chosen(settings.evaluate, "examples", "controls"),
        shared,
    ]
    return fingerprint(basics, _content(tokens), _content(conditions))[:16]


def _content(store: Store) -> str:
    """A digest of the ids and of every field of a store, read a few rows at a time."""
    digest = hashlib.sha256(repr(list(store.ids)).encode())
    for name in store.fields:
        digest.update(name.encode())
        for start in range(0, len(store[name]), ROWS_AT_ONCE):
            digest.update(store[name][start : start + ROWS_AT_ONCE].tobytes())
    return digest.hexdigest()


def write_yaml(file: Path, content: dict) -> None:
    """Writes settings as YAML."""
    with atomic(file) as temporary, open(temporary, "w") as handle:
        YAML().dump(content, handle)
