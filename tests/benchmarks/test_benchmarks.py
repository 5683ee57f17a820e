"""The yardstick must measure the same mathematics, and measure it right."""

import math
import os
import time
from dataclasses import replace
from functools import partial

import pytest
import torch
from typer.testing import CliRunner

import benchmarks.__main__ as command
from benchmarks import core, gpu
from benchmarks.cases import CASES
from benchmarks.measure import flops, interleaved, passes_over, peak_memory, seconds_of
from benchmarks.page import END, START
from benchmarks.steps import fewest
from benchmarks.timed_runs import Bench, one_side
from benchmarks.worker import Worker
from pipeline.metrics.results import Result
from pipeline.runtime.errors import UserError

CPU = torch.device("cpu")
MINI = {
    "layers": 1,
    "width": 16,
    "heads": 2,
    "grid": (4, 4),
    "n_codes": 11,
    "n_steps": 6,
    "batch": 3,
}
SMALL = {
    name: replace(CASES[name], **MINI, condition=CASES[name].condition and (3, 8))
    for name in ("music", "text", "class")
}


@pytest.mark.parametrize("name", SMALL)
def test_both_sides_compute_the_same_losses(name):
    assert Bench(SMALL[name], CPU, 3).agreement() < 1e-4


@pytest.mark.parametrize("setting", ["vanilla", "step, one chain", "sample"])
def test_both_sides_of_the_head_have_the_same_gradient(setting):
    gradients = {}
    for name, run in Bench(SMALL["text"], CPU, 3).head(setting).items():
        torch.manual_seed(0)
        real = torch.autograd.grad

        def keep(*arguments, name=name, real=real):
            gradients[name] = real(*arguments)
            return gradients[name]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.autograd, "grad", keep)
            run()
    for slow, fast in zip(gradients["textbook"], gradients["fast"]):
        assert torch.allclose(slow, fast, rtol=1e-3, atol=1e-4 * slow.abs().max().item())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("setting", ["vanilla", "step, one chain", "step, N chains", "sample"])
def test_under_bf16_autocast_a_training_step_comes_near_the_float32_one(name, setting):
    exact, coarse = Bench(SMALL[name], CPU, 3), Bench(SMALL[name], CPU, 3, bf16=True)
    losses = [bench.fast_training(setting)() for bench in (exact, coarse)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1].item(), rel=0.02)
    for (part, sharp), blurred in zip(
        exact.network.named_parameters(), coarse.network.parameters()
    ):
        assert blurred.grad.dtype == torch.float32
        assert (sharp.grad - blurred.grad).norm() <= 0.1 * sharp.grad.norm() + 1e-6, part


def test_both_reverse_steps_open_masks_and_keep_most_tokens():
    bench = Bench(replace(SMALL["text"], grid=(20, 20), n_steps=40), CPU, 3)
    x_t = bench.process.q_sample(bench.x_0, torch.full((3,), bench.middle), bench.generator())
    for run in bench.reverse().values():
        x_s = run()
        assert 0 < ((x_t == 11) & (x_s < 11)).sum() < 0.1 * (x_t == 11).sum()
        assert not ((x_t < 11) & (x_s == 11)).any()


def test_the_textbook_goes_over_its_tensors_as_the_published_code_and_ours_hardly_ever():
    """429, 1,830 and 183 float32 passes a sample were measured of the code that the paper was
    published with.
    """
    spec = replace(SMALL["music"], grid=(1, 64), n_codes=256)
    bench, size = Bench(spec, CPU, 1), 256 * 64
    runs = {
        "vanilla": bench.training("vanilla"),
        "step": bench.training("step, one chain"),
        "reverse": bench.reverse(),
    }
    for (name, sides), published, most in zip(
        runs.items(), (429, 1830, 183), (50, 50, 5), strict=True
    ):
        assert passes_over(size, sides["textbook"]) == pytest.approx(published, rel=0.08), name
        assert passes_over(size, sides["fast"]) < most, name


def test_flops_memory_and_medians_are_what_they_say():
    a = torch.ones(64, 32)
    assert flops(lambda: a @ a.T) == 2 * 64 * 32 * 64
    assert peak_memory(lambda: torch.ones(25_000_000).sum(), CPU) == pytest.approx(1e8, rel=0.2)
    for ticks, seconds in (([7.0, 10.0], 3.0), ([0.0, 0.3, 1.0, 1.1, 2.0, 2.2], 0.15)):
        assert seconds_of(lambda: None, CPU, iter(ticks).__next__) == pytest.approx(seconds)
    turns = {"a": iter([1.0, 3.0, 2.0]), "b": iter([5.0, 5.0, 6.0])}
    assert interleaved({name: turn.__next__ for name, turn in turns.items()}, 3) == {
        "a": 2.0,
        "b": 5.0,
    }


def test_a_worker_takes_its_turns_in_another_process_and_stops():
    make = partial(one_side, Bench(SMALL["text"], CPU, 3).spec, "fast", "training", "vanilla")
    with Worker(make, keeps=True, device=CPU, clock=time.perf_counter) as worker:
        assert 0 < worker.seconds("fast") < 60
        assert worker.memory("fast") >= 0
        assert worker.process.pid != os.getpid()
    assert not worker.process.is_alive()


def test_a_worker_that_was_killed_says_so():
    make = partial(one_side, Bench(SMALL["text"], CPU, 3).spec, "fast", "training", "vanilla")
    with Worker(make, keeps=True, device=CPU, clock=time.perf_counter) as worker:
        worker.process.kill()
        with pytest.raises(UserError, match=r"ran 'fast' ended with -9"):
            worker.seconds("fast")


class Here:
    """A worker without a process of its own, which takes two seconds to start."""

    def __init__(self, make, keeps, device, clock):
        self.runs = make()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def seconds(self, name):
        start = time.perf_counter()
        self.runs[name]()
        return time.perf_counter() - start

    def memory(self, name):
        return peak_memory(self.runs[name], CPU)


def test_the_ceiling_is_the_highest_rate_of_the_run(monkeypatch):
    rates = iter([2e9, 3e9, 1e9])
    monkeypatch.setattr(core, "matmul_rate", lambda *arguments: next(rates))
    ceiling = core.Ceiling(CPU, torch.float32, time.perf_counter)
    assert [ceiling.again() for _ in range(3)] == [2e9, 3e9, 3e9]


def test_the_command_prints_every_row_and_writes_it_down(monkeypatch, tmp_path):
    monkeypatch.setattr(core, "Worker", Here)
    for module in (command, core):
        monkeypatch.setattr(module, "CASES", {"mini": SMALL["text"]})
    monkeypatch.setattr(core, "matmul_rate", lambda *arguments: 1e9)
    monkeypatch.setattr(command, "README", readme := tmp_path / "README.md")
    monkeypatch.setattr(command, "_count_passes", lambda say: None)
    readme.write_text(
        f"# Kept\n{START}\n### mini, {core.maker()}: 1\nold\n\n### other: 2\nstays\n\n"
        f"### mini, Another: 3\nbeside\n{END}\nkept too\n"
    )
    result = CliRunner().invoke(
        command.app, ["--case", "mini", "--chains", "mini", "--repeats", "1", "--write"]
    )
    assert result.exit_code == 0, result.output
    for row in (
        "train, vanilla",
        "train, step, one chain",
        "train, sample",
        "reverse step",
        "head and loss",
        "all / passes",
        "Beside one busy process",
        "ratio, both keeping",
    ):
        assert row in result.output
        assert row in readme.read_text()
    assert "old" not in readme.read_text()
    text = readme.read_text()
    assert "### other: 2\nstays\n\n" in text
    order = [text.index(title) for title in (f"mini, {core.maker()}", "mini, Another", "other")]
    assert order == sorted(order)
    assert readme.read_text().startswith("# Kept\n")
    assert readme.read_text().endswith("\nkept too\n")
    assert CliRunner().invoke(command.app, ["--case", "nothing"]).exit_code == 2


def test_without_a_gpu_the_gpu_tables_are_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = CliRunner().invoke(gpu.app, [])
    assert result.exit_code == 1
    assert result.output.startswith("Error: There is no GPU here")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(("better", "expected"), [(True, ("halton", 10)), (False, ("random", 5))])
def test_the_fewest_steps_within_the_interval_of_the_best(better, expected):
    def line(mean):
        return Result("model", "m", "", mean, math.nan, mean - 2, mean + 2, 1, 1, 1)

    found = {
        ("random", 5): line(80.0),
        ("random", 10): line(88.0),
        ("halton", 10): line(89.0),
        ("random", 40): line(90.0),
        ("purity", 5): None,
    }
    assert fewest(found, better) == expected
