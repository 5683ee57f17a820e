"""Whatever stands in the files of settings, they are accepted or told in one sentence: values of
another type, sign or size, keys that are missing, unknown or moved.
"""

from copy import deepcopy

import numpy as np
import pytest

import stages.config
from pipeline.runtime.errors import UserError
from pipeline.runtime.seeds import numpy_generator
from tests.helpers.house import ROOT, read

FILES = [
    *sorted((ROOT / "params").glob("*.yaml")),
    *sorted((ROOT / "params" / "presets").glob("*/*.yaml")),
]
VALUES = (
    *(0, -1, 1, 2, 3, 10**20, -(10**20), 0.5, -0.5, 1e300, float("nan"), float("inf"), True, False),
    *(None, "", "x", "3", "null", "../../etc", "\n", "kinetics", [], [0], [[]], {}, {"a": {}}),
)


def places(content, path=()):
    """Every key of nested settings."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def section_of(content, place):
    for key in place[:-1]:
        content = content[key]
    return content


def mutated(content, rng: np.random.Generator):
    """One to three changes somewhere."""
    content = deepcopy(content)
    for _ in range(int(rng.integers(1, 4))):
        every = list(places(content))
        if not every:
            break
        place = every[rng.integers(len(every))]
        section, other = section_of(content, place), every[rng.integers(len(every))]
        match int(rng.integers(4)):
            case 0:
                del section[place[-1]]
            case 1 if isinstance(section, dict):
                section[f"{place[-1]}s"] = VALUES[rng.integers(len(VALUES))]
            case 2:
                section[place[-1]] = deepcopy(section_of(content, other)[other[-1]])
            case _:
                section[place[-1]] = VALUES[rng.integers(len(VALUES))]
    return content


def campaign(seed, count, monkeypatch):
    """How many of so many mutations were refused."""
    whole = {file: read(file) for file in FILES}
    refused = 0
    for number in range(count):
        rng = numpy_generator(seed, "settings", number)
        file = FILES[rng.integers(len(FILES))]
        dataset = file.parent.name if "presets" in file.parts else file.stem
        content = mutated(whole[file], rng)
        monkeypatch.setattr(stages.config, "read_yaml", lambda _, given=content: given)
        try:
            stages.config.read_settings(dataset, file)
        except UserError as told:
            refused += 1
            sentence = str(told).replace(repr("\n"), "")
            assert "\n" not in sentence, (number, sentence)  # noqa: PT017
            assert str(file) in sentence, (number, sentence)  # noqa: PT017
        except Exception as error:
            raise AssertionError(f"mutation {number} of {file.name}: {error!r}") from error
    return refused


def test_some_hundred_mutations_of_all_settings(monkeypatch):
    assert campaign(0, 600, monkeypatch) > 400


@pytest.mark.soak
def test_thousands_of_mutations_of_all_settings(monkeypatch):
    refused = campaign(1, 10_000, monkeypatch)
    print(f"settings: 10,000 tries, {refused} refused")
    assert refused > 7000
