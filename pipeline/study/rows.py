"""The rows of a study: one small JSON file for each trained and sampled model, from which all
tables and curves are made.
"""

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.metrics.results import Evaluation, Result
from pipeline.runtime.errors import DamagedFile
from pipeline.runtime.files import atomic, read_json
from pipeline.runtime.scratch import fingerprint
from pipeline.study.grid import Planned

KEPT = ("model", "model_shuffled")  # the controls are the same for all rows


@dataclass(frozen=True)
class Row:
    """One finished run: what it is, what it rests on, and what was measured.

    `difference` is from params/<dataset>.yaml, `settings` a digest of all that decides the row,
    `world` one of what rows must share to be compared: data and basic settings. `items`: figures
    item by item (means over the sampling seeds), `songs` the song of each where there are songs,
    and `ids` a digest of which items they are. `seconds` by stage.
    """

    dataset: str
    run: str
    seed: int
    sampling: str
    split: str
    contrast: str
    difference: dict[str, object]
    settings: str
    world: str
    commit: str
    machine: str
    seconds: dict[str, float]
    parameters: int
    sampling_seeds: list[int]
    results: list[Result]
    ids: str
    songs: list[str]
    items: dict[str, list[float | None]]

    @property
    def name(self) -> str:
        """The file name without its ending."""
        tail = "" if self.split == "val" else f"__{self.split}"
        return f"{self.run}__{self.sampling}__s{self.seed}{tail}"

    def result(self, metric: str, row: str = "model") -> Result | None:
        """The line of a metric, given as metric/protocol."""
        for result in self.results:
            if result.row == row and metric_name(result) == metric:
                return result
        return None

    def value(self, metric: str) -> float:
        """The mean of the model's metric; NaN where it was not measured."""
        found = self.result(metric)
        return math.nan if found is None else found.mean


def metric_name(result: Result) -> str:
    """metric/protocol, or the metric alone where it has no protocol."""
    return f"{result.metric}/{result.protocol}" if result.protocol else result.metric


def write_row(folder: Path, row: Row) -> Path:
    """Writes a row below `folder`, one key a line and one result a line."""
    content = asdict(row)
    content["results"] = [
        {key: _number(value) for key, value in one.items()} for one in content["results"]
    ]
    content["items"] = {name: [_number(v) for v in values] for name, values in row.items.items()}
    lines = []
    for key, value in content.items():
        if key == "results":
            each = ",\n".join(f"  {json.dumps(one, allow_nan=False)}" for one in value)
            lines.append(f' "results": [\n{each}\n ]')
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}")
    path = folder / f"{row.name}.json"
    with atomic(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return path


def _number(value: object) -> object:
    """Six significant digits; null for what is not defined."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _result(numbers: dict[str, Any]) -> Result:
    """A line as it was written, what is not defined as NaN."""
    undefined: dict[str, Any] = {key: math.nan for key, value in numbers.items() if value is None}
    return Result(**(numbers | undefined))


def read_row(path: Path) -> Row:
    """The row in a file; raises UserError when it is none."""
    content = read_json(path)
    try:
        results = [_result(one) for one in content.pop("results")]
        return Row(**content, results=results)
    except (KeyError, TypeError, AttributeError):
        raise DamagedFile(path, "it is not a row of a study") from None


def read_rows(folder: Path) -> list[Row]:
    """All rows below a data set's folder, by name."""
    return [read_row(path) for path in sorted(folder.glob("*__*.json"))]


def of_one_world(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """(the rows of the world that most of them share, those of other data or basic settings)."""
    if not rows:
        return [], []
    world = Counter(row.world for row in rows).most_common(1)[0][0]
    return [row for row in rows if row.world == world], [row for row in rows if row.world != world]


def is_done(folder: Path, planned: Planned, settings: str, world: str) -> bool:
    """Whether the row is there, of the same settings and world."""
    path = folder / f"{planned.name}.json"
    if not path.exists():
        return False
    row = read_row(path)
    return (row.settings, row.world) == (settings, world)


def lines_of(results: list[Result], split: str) -> list[Result]:
    """The model's own lines, with the split that stood in for `test` called by its name."""
    return [
        replace(one, protocol=one.protocol.replace(", test", f", {split}"))
        for one in results
        if one.row in KEPT
    ]


def items_of(
    evaluation: Evaluation, metrics: tuple[str, ...]
) -> tuple[list[str], dict[str, list[float | None]]]:
    """(ids, metric -> figure of each id), for the model's clip-by-clip figures."""
    mine = [one for one in evaluation.clips if one.row == "model"]
    ids = sorted({one.clip for one in mine})
    values: dict[str, dict[str, float]] = {}
    for one in mine:
        name = f"{one.metric}/{one.protocol}" if one.protocol else one.metric
        if name in metrics:
            values.setdefault(name, {})[one.clip] = one.value
    return ids, {name: [found.get(one) for one in ids] for name, found in values.items()}


def digest_of(ids: list[str]) -> str:
    """A short digest of which items were measured."""
    return fingerprint(ids)[:12]
