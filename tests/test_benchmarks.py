"""The yardstick must measure the same mathematics, and measure it right."""

from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

import benchmarks.__main__ as command
from benchmarks.cases import CASES
from benchmarks.measure import flops, interleaved, passes_over, peak_memory
from benchmarks.sides import Bench

CPU = torch.device("cpu")
MINI = {"layers": 1, "width": 16, "heads": 2, "grid": (4, 4), "n_codes": 11, "n_steps": 6, "batch": 3}
SMALL = {name: replace(CASES[name], **MINI, condition=CASES[name].condition and (3, 8)) for name in ("music", "text", "class")}


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


def test_both_reverse_steps_open_masks_and_keep_most_tokens():
    bench = Bench(replace(SMALL["text"], grid=(20, 20), n_steps=40), CPU, 3)
    x_t = bench.process.q_sample(bench.x_0, torch.full((3,), bench.middle), bench.generator())
    for run in bench.reverse().values():
        x_s = run()
        assert 0 < ((x_t == 11) & (x_s < 11)).sum() < 0.1 * (x_t == 11).sum()
        assert not ((x_t < 11) & (x_s == 11)).any()


def test_the_textbook_goes_over_its_tensors_as_often_as_the_published_code_and_the_fast_side_hardly_ever():
    """429, 1,830 and 183 float32 passes a sample were measured of the code that the paper was published with."""
    spec = replace(SMALL["music"], grid=(1, 64), n_codes=256)
    bench, size = Bench(spec, CPU, 1), 256 * 64
    runs = {"vanilla": bench.training("vanilla"), "step": bench.training("step, one chain"), "reverse": bench.reverse()}
    for (name, sides), published, most in zip(runs.items(), (429, 1830, 183), (50, 50, 5), strict=True):
        assert passes_over(size, sides["textbook"]) == pytest.approx(published, rel=0.08), name
        assert passes_over(size, sides["fast"]) < most, name


def test_flops_memory_and_medians_are_what_they_say():
    a = torch.ones(64, 32)
    assert flops(lambda: a @ a.T) == 2 * 64 * 32 * 64
    assert peak_memory(lambda: torch.ones(25_000_000).sum(), CPU) == pytest.approx(1e8, rel=0.2)
    ticks = iter([0, 10, 11, 20, 23, 30, 32])  # the unmeasured turn, then 1, 3 and 2
    assert interleaved({"run": lambda: None}, 3, CPU, lambda: next(ticks) * 1.0) == {"run": 2.0}


def test_the_command_prints_every_row_and_writes_it_down(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "CASES", {"mini": SMALL["text"]})
    monkeypatch.setattr(command, "matmul_rate", lambda *arguments: 1e9)
    monkeypatch.setattr(command, "README", readme := tmp_path / "README.md")
    monkeypatch.setattr(command, "_count_passes", lambda say: None)
    readme.write_text(f"# Kept\n{command.START}\nold\n{command.END}\nkept too\n")
    result = CliRunner().invoke(command.app, ["--case", "mini", "--chains", "mini", "--repeats", "1", "--write"])
    assert result.exit_code == 0, result.output
    for row in ("train, vanilla", "train, step, one chain", "train, sample", "reverse step", "head and loss", "all / passes"):
        assert row in result.output
        assert row in readme.read_text()
    assert "old" not in readme.read_text()
    assert readme.read_text().startswith("# Kept\n")
    assert readme.read_text().endswith("\nkept too\n")
    assert CliRunner().invoke(command.app, ["--case", "nothing"]).exit_code == 2
