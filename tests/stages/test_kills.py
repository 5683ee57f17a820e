"""Killed at any moment, in any stage: the next run ends with the same bytes and leaves nothing
behind.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.runtime.seeds import numpy_generator
from tests.helpers.full_disk import OUTPUTS
from tests.helpers.full_disk import digests as digests_of
from tests.helpers.house import ROOT, SMALL, cli

KILLS = 40
PRODUCTS = {stage: [f"data/{{}}/{name}" for name in names] for stage, names in OUTPUTS.items()}
PRODUCTS |= {
    "evaluate": ["reports/metrics/{}", "reports/examples/{}"],
    "report": ["reports/README.md", "reports/tables", "reports/figures", "reports/index.html"],
}


def words(stage, dataset):
    return [stage] if stage == "report" else [stage, dataset]


def products(house, stage, dataset):
    """The digests of what a stage makes."""
    found = {}
    for name in PRODUCTS[stage]:
        path = house / name.format(dataset)
        found |= digests_of(path) if path.is_dir() else digests_of(path.parent, path.name)
    assert found
    return found


def litter(house):
    temporaries = [path for top in ("data", "reports") for path in (house / top).rglob(".*.tmp")]
    scratch = [path for path in (house / "home" / "scratch").rglob("*") if path.is_file()]
    return temporaries + scratch


def killed(house, stage, dataset, after_s, number=signal.SIGKILL):
    """Whether a stage was still at work when its processes were signalled."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stages", *words(stage, dataset)],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number)
        process.wait()
        return True


def check_kill(house, stage, dataset, after_s):
    """Whether the kill met the stage, and how many seconds the run after it took, which gives the
    same bytes and leaves nothing.
    """
    before = products(house, stage, dataset)
    met, started = killed(house, stage, dataset, after_s), time.monotonic()
    done = cli(*words(stage, dataset))
    assert done.returncode == 0, (stage, dataset, after_s, done.stderr[-1000:])
    assert "Traceback" not in done.stderr
    assert products(house, stage, dataset) == before, (stage, dataset, after_s)
    assert not litter(house), (stage, dataset, after_s)
    return met, time.monotonic() - started


@pytest.mark.parametrize(
    ("stage", "dataset"),
    [
        ("download", "toy_dance"),
        ("codec", "digits"),
        ("judge", "toy_shapes"),
        ("evaluate", "digits"),
    ],
)
def test_a_stage_killed_at_some_moment_ends_with_the_same_bytes(inside, stage, dataset):
    check_kill(inside, stage, dataset, float(numpy_generator(0, "kill", stage).uniform(2, 4)))


@pytest.mark.soak
def test_forty_kills_at_random_moments(inside):
    stages, met, counts, seconds = list(PRODUCTS), 0, {}, {}
    for number in range(3 * KILLS):
        rng = numpy_generator(1, "kill", number)
        stage, dataset = stages[number % len(stages)], list(SMALL)[int(rng.integers(len(SMALL)))]
        after_s = float(rng.uniform(0.3, 1.0)) * seconds.get(stage, 6.0)
        hit, seconds[stage] = check_kill(inside, stage, dataset, after_s)
        print(f"{stage} {dataset}: kill after {after_s:.1f} s, {'met' if hit else 'too late'}")
        if hit:
            met += 1
            counts[stage] = counts.get(stage, 0) + 1
        if met == KILLS:
            break
    print(f"{met} kills -9 met a stage at work: {counts}")
    assert met == KILLS
    assert set(counts) == set(PRODUCTS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stage_that_is_asked_to_stop_says_so(inside, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "stages", "extract", "toy_dance"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    scratch, deadline = inside / "home" / "scratch", time.monotonic() + 60
    while time.monotonic() < deadline and not list(scratch.glob("*.lock")):
        time.sleep(0.01)
    os.killpg(process.pid, number)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 75, told
    assert f"Stopped by {signal.Signals(number).name}; run the same command again" in told
    assert "Traceback" not in told
    assert cli("extract", "toy_dance").returncode == 0
    assert not litter(inside)


@pytest.mark.soak
def test_a_repro_that_is_interrupted_again_and_again_ends_as_one_that_is_not(tmp_path):
    from tests.helpers.repro import interrupted_repro, make_project, outs, repro

    whole, broken = (make_project(tmp_path / name) for name in ("whole", "broken"))
    assert repro(whole) == 0
    rng = numpy_generator(2, "interrupts")
    stops = sum(interrupted_repro(broken, float(rng.uniform(4, 25))) for _ in range(8))
    assert repro(broken) == 0
    print(f"{stops} SIGINTs met dvc repro at work")
    assert stops >= 4
    assert outs(broken) == outs(whole)
    assert not litter(broken)
    assert Path(broken / "reports" / "index.html").exists()
