"""Mean opinion scores from the files that listeners sent back, with confidence intervals, as
results for the tables.

The interval is Student's t over listeners: ratings by one listener are not independent, so each
counts with one mean.
"""

import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from pipeline.metrics.results import Result, parse_results, write_table
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, read_json

FORMAT = "cdcd-listening-1"  # of key.json and of the listeners' files
TESTS = ("coherence", "quality")


def read_key(path: Path) -> dict:
    """What the experimenter's key.json says; raises UserError when it is not one."""
    key = read_json(path)
    if (
        not isinstance(key, dict)
        or key.get("format") != FORMAT
        or not isinstance(key.get("trials"), dict)
    ):
        raise UserError(
            f"{path} is not the key of a listening test; give the key.json that `cdcd listen`"
            " wrote."
        )
    return key


def read_answers(path: Path, key: dict) -> dict:
    """One listener's file with the names of `key` put in; raises UserError when it is not one of
    this test.
    """
    try:
        answers = json.loads(Path(path).read_text())
        if answers["format"] != FORMAT or not isinstance(answers["listener"], str):
            raise ValueError
        ratings = {str(code): int(rating) for code, rating in answers["ratings"].items()}
        if not all(1 <= rating <= 5 for rating in ratings.values()):
            raise ValueError
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise UserError(
            f"{path} is not a file saved by a listening test; ask the listener to press Save again."
        ) from None
    if answers["study"] != key["study"] or not set(ratings) <= set(key["trials"]):
        raise UserError(
            f"{path} belongs to another listening test than the key; give the key.json of that"
            " test."
        )
    return {
        "listener": answers["listener"],
        "answers": [{**key["trials"][code], "rating": r} for code, r in ratings.items()],
    }


def opinion_scores(answers: list[dict], level: float = 0.95) -> tuple[list[Result], list[str]]:
    """(mean opinion score of every system in every test, the names of listeners left out for
    failing attention checks).

    `n_clips` of a result counts ratings, `n_songs` items, `n_seeds` listeners. Raises UserError
    when one listener appears twice or no one passed the checks.
    """
    names = [one["listener"] for one in answers]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(
            f"Listener {repeated[0]!r} appears in more than one file; keep the last one."
        )
    failed = [one["listener"] for one in answers if not passed(one)]
    kept = [one for one in answers if passed(one)]
    if not kept:
        raise UserError("No listener passed the attention checks; there is nothing to average.")
    ratings = defaultdict(lambda: defaultdict(list))
    items = defaultdict(set)
    for one in kept:
        for answer in one["answers"]:
            if answer["system"] != "attention":
                key = answer["test"], answer["system"]
                ratings[key][one["listener"]].append(answer["rating"])
                items[key].add(answer["item"])
    ordered = sorted(ratings, key=lambda key: (TESTS.index(key[0]), key[1]))
    return [
        _result(test, system, ratings[test, system], len(items[test, system]), level)
        for test, system in ordered
    ], failed


def passed(one: dict) -> bool:
    """Whether a listener gave every attention check that was reached the rating that it asked
    for.
    """
    return all(
        answer["rating"] == answer["expected"]
        for answer in one["answers"]
        if answer["system"] == "attention"
    )


def _result(
    test: str, system: str, by_listener: dict[str, list[int]], n_items: int, level: float
) -> Result:
    from scipy.stats import t as student

    means = np.array([np.mean(ratings) for ratings in by_listener.values()])
    n = len(means)
    deviation = float(means.std(ddof=1)) if n > 1 else math.nan
    half = (
        float(student.ppf((1 + level) / 2, n - 1)) * deviation / math.sqrt(n) if n > 1 else math.nan
    )
    mean, count = float(means.mean()), sum(map(len, by_listener.values()))
    return Result(
        system,
        f"mos_{test}",
        "listeners",
        mean,
        deviation,
        mean - half,
        mean + half,
        count,
        n_items,
        n,
    )


def write_mos(path: Path, results: list[Result]) -> None:
    """Writes the scores as a table.csv that the report reads."""
    with atomic(Path(path)) as temporary:
        write_table(temporary, Result, results)


def read_mos(path: Path) -> list[Result]:
    """The scores of a data set; none when no listening test was held."""
    if not path.exists():
        return []
    try:
        with open(path, newline="") as handle:
            return parse_results(handle)
    except (KeyError, ValueError, UnicodeDecodeError):
        raise UserError(
            f"{path} is damaged (not a table of scores); run `cdcd mos` again."
        ) from None
