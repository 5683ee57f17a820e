"""`python -m benchmarks`: the table of benchmarks/README.md, measured on this machine."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer

from benchmarks.cases import CASES, N_NEGATIVES
from benchmarks.measure import Clock, flops, interleaved, matmul_rate, passes_over
from benchmarks.timed_runs import Bench, chain_names, chain_runs, one_side
from benchmarks.worker import Make, Worker
from pipeline.runtime.cpu import choose_products
from pipeline.runtime.device import device as default_device
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic

app = typer.Typer(add_completion=False)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
README, START, END = (
    Path(__file__).with_name("README.md"),
    "<!-- measured -->",
    "<!-- end of what was measured -->",
)
BOTH = ("vanilla", "step, one chain", "sample")


@app.command()
def main(
    case: Annotated[
        list[str] | None, typer.Option(help=f"Which networks: {', '.join(CASES)}. Default: all.")
    ] = None,
    repeats: Annotated[
        int, typer.Option(help="Processes for each side and row; the table shows medians.")
    ] = 3,
    batch: Annotated[int, typer.Option(help="Samples a step; 0: as the case says.")] = 0,
    chains: Annotated[
        list[str],
        typer.Option(
            help="For which of them N parallel chains too: N + 1 times the work and memory."
        ),
    ] = ("toy", "text"),
    bf16: Annotated[bool, typer.Option(help="Autocast on both sides.")] = False,
    compile: Annotated[bool, typer.Option(help="torch.compile the fast side's network.")] = False,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: PyTorch's choice.")] = 0,
    clock: Annotated[
        Literal["wall", "cpu"], typer.Option(help="cpu: for a shared machine, with one thread.")
    ] = "wall",
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help=(
                "Put the tables into benchmarks/README.md, in place of those of the same networks."
            ),
        ),
    ] = False,
) -> None:
    """Times the diffusion core against its textbook twin, the two taking turns, and against the
    network's FLOPs.
    """
    choose_products()
    if threads:
        torch.set_num_threads(threads)
    device, dtype = default_device(), torch.bfloat16 if bf16 else torch.float32
    seconds, lines = CLOCKS[clock], []

    def say(line: str) -> None:
        typer.echo(line)
        lines.append(line)

    names = case or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        raise typer.BadParameter(
            f"{unknown[0]!r} is none of {', '.join(CASES)}.", param_hint="--case"
        )
    rate = matmul_rate(device, dtype, seconds)
    _count_passes(say)
    try:
        for name in names:
            bench = Bench(CASES[name], device, batch or CASES[name].batch, bf16, compile)
            say(f"### {name}: {bench.size}\n")
            say(
                f"{_machine(device)}; matmul {rate / 1e9:.0f} GFLOP/s in {dtype}; medians of"
                f" {repeats}, {clock} time."
            )
            Report(bench, repeats, rate, seconds, say).show(name in chains)
        if write:
            write_results(README, lines)
    except UserError as mistake:
        typer.echo(f"{mistake} Nothing was written; what was measured stands above.", err=True)
        raise typer.Exit(1) from None


def write_results(readme: Path, lines: list[str]) -> None:
    """Puts the sections of `lines` between the two marks of the README, in place of those that had
    their titles.

    Raises UserError when the marks are not there.
    """
    before, start, rest = readme.read_text().partition(START)
    between, end, after = rest.partition(END)
    if not (start and end):
        raise UserError(
            f"{readme} has lost the line {START if not start else END}, where the results go; put"
            " it back."
        )
    sections = _sections(between) | _sections("\n".join(lines))
    with atomic(readme) as fresh:
        fresh.write_text("\n\n".join([before + START, *sections.values(), END + after]))


def _sections(text: str) -> dict[str, str]:
    """The parts of `text` that begin with "### TITLE: ", by their titles."""
    parts = (part.strip() for part in text.split("### ")[1:])
    return {part.partition(":")[0]: f"### {part}" for part in parts}


def _count_passes(say: Callable[[str], None]) -> None:
    """How often either side goes over [K, L] float32 numbers, at music's size behind a network too
    small to matter.
    """
    spec = replace(CASES["music"], layers=1, width=16, heads=2, condition=(1, 16))
    bench, size = Bench(spec, torch.device("cpu"), 1), spec.n_codes * spec.length
    rows = {name: bench.training(name) for name in BOTH} | {"reverse step": bench.reverse()}
    say(
        "### passes: how often K x L float32 numbers of one sample are read or written, with"
        " music's K and L\n"
    )
    say("| | " + " | ".join(rows) + " |")
    say("|" + "---|" * (len(rows) + 1))
    for side in ("textbook", "fast"):
        say(
            f"| {side} | "
            + " | ".join(f"{passes_over(size, sides[side]):.0f}" for sides in rows.values())
            + " |"
        )
    say("")


@dataclass(frozen=True)
class Report:
    """Measures one case and prints its table."""

    bench: Bench
    repeats: int
    rate: float
    clock: Clock
    say: Callable[[str], None]

    def show(self, chains: bool) -> None:
        """All rows of the case."""
        bench = self.bench
        self.say(f"Losses of the two sides agree to {bench.agreement():.1e}.\n")
        self.say(
            "| what | textbook s | fast s | ratio | floor s | fast / floor | textbook MB | fast"
            " MB |"
        )
        self.say("|---|---|---|---|---|---|---|---|")
        floor = flops(bench.pass_of()) / self.rate
        for setting in BOTH:
            self.row(f"train, {setting}", "training", setting, floor=floor, memory=True)
        self.row("reverse step", "reverse", floor=flops(bench.reverse()["fast"]) / self.rate)
        for setting in BOTH:
            self.row(f"head and loss, {setting}", "head", setting)
        if chains:
            self.chains(floor * (1 + N_NEGATIVES))
        self.say("")

    def row(
        self, what: str, rows: str, *of: str, floor: float | None = None, memory: bool = False
    ) -> None:
        """One comparison, `rows` being the method of Bench that makes both sides."""
        makes = {
            side: partial(one_side, self.bench.spec, side, rows, *of)
            for side in ("textbook", "fast")
        }
        turns = {
            side: partial(self.turn, make, side, keeps=side == "fast")
            for side, make in makes.items()
        }
        seconds = interleaved(turns, self.repeats)
        used = {side: self.memory(make, side) if memory else "" for side, make in makes.items()}
        slow, fast = seconds["textbook"], seconds["fast"]
        near = ("", "") if floor is None else (f"{floor:.3f}", f"{fast / floor:.2f}")
        cells = (
            what,
            f"{slow:.3f}",
            f"{fast:.3f}",
            f"{slow / fast:.1f}x",
            *near,
            used["textbook"],
            used["fast"],
        )
        self.say(f"| {' | '.join(cells)} |")

    def chains(self, floor: float) -> None:
        """N parallel chains against N + 1 passes of the bare network, and what a subset of the
        negatives costs.
        """
        names, make = chain_names(N_NEGATIVES), partial(chain_runs, self.bench.spec, N_NEGATIVES)
        seconds = interleaved(
            {name: partial(self.turn, make, name, keeps=True) for name in names},
            max(1, self.repeats // 2),
        )
        passes, whole, *_ = seconds.values()
        self.say(
            f"\nParallel chains, N = {N_NEGATIVES}; floor of the {N_NEGATIVES + 1} passes"
            f" {floor:.3f} s:\n"
        )
        self.say("| " + " | ".join(f"{name} s" for name in names) + " | all / passes |")
        self.say("|" + "---|" * (len(names) + 1))
        self.say(
            f"| {' | '.join(f'{value:.3f}' for value in seconds.values())} | {whole / passes:.2f} |"
        )

    def turn(self, make: Make, name: str, keeps: bool) -> float:
        """The seconds of one run in a fresh process, after two that do not count: by then its
        memory is laid out.
        """
        with Worker(make, keeps, self.bench.device, self.clock) as worker:
            return [worker.seconds(name) for _ in range(3)][-1]

    def memory(self, make: Make, name: str) -> str:
        """Megabytes that a run needs at its height; what a process keeps without need is not
        counted.
        """
        with Worker(make, False, self.bench.device, self.clock) as worker:
            worker.seconds(name)
            return f"{worker.memory(name) / 1e6:.0f}"


def _machine(device: torch.device) -> str:
    cpu = f"{platform.machine()}, {torch.get_num_threads()} threads"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return f"{datetime.now(UTC):%Y-%m-%d}, {name}, torch {torch.__version__}"


if __name__ == "__main__":
    app()
