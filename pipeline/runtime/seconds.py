"""How long stages took: a line for each finished run in $CDCD_HOME/seconds.csv, which no result
depends on.
"""

import csv
from pathlib import Path

from pipeline.runtime.scratch import home


def seconds_file() -> Path:
    """Where the lines stand, whether or not there is one yet."""
    return home() / "seconds.csv"


def note_seconds(dataset: str, stage: str, seconds: float) -> None:
    """Adds the line of a stage that has ended well; where nothing can be written, nothing is."""
    try:
        seconds_file().parent.mkdir(parents=True, exist_ok=True)
        with open(seconds_file(), "a", newline="") as lines:
            csv.writer(lines).writerow([dataset, stage, f"{seconds:.1f}"])
    except OSError:
        return


def last_seconds() -> dict[tuple[str, str], float]:
    """(data set, stage) -> the seconds of its last run on this machine."""
    if not seconds_file().exists():
        return {}
    with open(seconds_file(), newline="") as lines:
        return {(line[0], line[1]): float(line[2]) for line in csv.reader(lines) if len(line) == 3}
