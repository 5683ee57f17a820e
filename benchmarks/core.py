"""The table of one case: both sides and both ways with memory, the floor, and a busy machine."""

import platform
import subprocess
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import product

import torch

from benchmarks.cases import CASES, N_NEGATIVES
from benchmarks.measure import Clock, flops, interleaved, matmul_rate
from benchmarks.timed_runs import Bench, chain_names, chain_runs, one_side
from benchmarks.worker import Make, Worker
from pipeline.runtime.processor import processor
from pipeline.runtime.products import products

BOTH = ("vanilla", "step, one chain", "sample")


@dataclass
class Ceiling:
    """The matmul rate of this machine, FLOP/s: the highest of all times that it was measured, as a
    busy moment only lowers it.
    """

    device: torch.device
    dtype: torch.dtype
    clock: Clock
    best: float = 0.0

    def again(self) -> float:
        """The highest so far, measured once more."""
        self.best = max(self.best, matmul_rate(self.device, self.dtype, self.clock))
        return self.best


def tables(
    batches: dict[str, int],
    repeats: int,
    ceiling: Ceiling,
    bf16: bool,
    compiled: bool,
    chains: Collection[str],
    say: Callable[[str], None],
    where: str = "",
) -> None:
    """Says the tables of the named cases, with so many samples a step (0: as the case says), under
    titles that end in `where` they were measured.
    """
    for name, batch in batches.items():
        case = CASES[name]
        bench = Bench(case, ceiling.device, batch or case.batch, bf16, compiled)
        say(f"### {name}, {where}: {bench.size}\n")
        Report(bench, repeats, ceiling, ceiling.clock, say).show(name in chains)


@dataclass(frozen=True)
class Report:
    """Measures one case and prints its table."""

    bench: Bench
    repeats: int
    ceiling: Ceiling
    clock: Clock
    say: Callable[[str], None]

    def show(self, chains: bool) -> None:
        """All rows of the case."""
        bench, rate = self.bench, self.ceiling.again()
        self.say(
            f"{machine(bench.device)}, products by {products.name}; matmul {rate / 1e9:.0f} GFLOP/s"
            f" in {self.ceiling.dtype}; medians of {self.repeats}."
        )
        self.say(f"Losses of the two sides agree to {bench.agreement():.1e}.\n")
        self.say(f"| {' | '.join(self.columns)} |")
        self.say("|" + "---|" * len(self.columns))
        floor = flops(bench.pass_of()) / rate
        for setting in BOTH:
            self.row(f"train, {setting}", "training", setting, floor=floor, memory=True)
        self.row("reverse step", "reverse", floor=flops(bench.reverse()["fast"]) / rate)
        for setting in BOTH:
            self.row(f"head and loss, {setting}", "head", setting)
        if bench.device.type == "cpu":
            self.beside_a_busy_process()
        if chains:
            self.chains(floor * (1 + N_NEGATIVES))
        self.say("")

    @property
    def columns(self) -> list[str]:
        """The heads of the table; on a GPU no process gives memory back."""
        sides = ["textbook s", "fast s", "ratio"]
        if self.bench.device.type == "cpu":
            sides += ["textbook s, keeping memory", "ratio, both keeping", "ratio, neither keeping"]
        return ["what", *sides, "floor s", "fast / floor", "textbook MB", "fast MB"]

    def row(
        self, what: str, rows: str, *of: str, floor: float | None = None, memory: bool = False
    ) -> None:
        """One comparison, `rows` being the method of Bench that makes both sides."""
        makes = {
            side: partial(one_side, self.bench.spec, side, rows, *of)
            for side in ("textbook", "fast")
        }
        on_cpu = self.bench.device.type == "cpu"
        asked = [*product(makes, (False, True) if on_cpu else (True,))]
        seconds = interleaved(
            {
                (side, keeps): partial(self.turn, makes[side], side, keeps=keeps)
                for side, keeps in asked
            },
            self.repeats,
        )
        slow, fast = seconds["textbook", not on_cpu], seconds["fast", True]
        cells = [what, f"{slow:.3f}", f"{fast:.3f}", f"{slow / fast:.1f}x"]
        if on_cpu:
            kept, given = seconds["textbook", True], seconds["fast", False]
            cells += [f"{kept:.3f}", f"{kept / fast:.1f}x", f"{slow / given:.1f}x"]
        cells += ["", ""] if floor is None else [f"{floor:.3f}", f"{fast / floor:.2f}"]
        cells += [self.memory(make, side) if memory else "" for side, make in makes.items()]
        self.say(f"| {' | '.join(cells)} |")

    def beside_a_busy_process(self) -> None:
        """What a training step takes alone, and beside a process that never rests."""
        make = partial(one_side, self.bench.spec, "fast", "training", "sample")

        def busy() -> float:
            with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
                try:
                    return self.turn(make, "fast", keeps=True)
                finally:
                    other.kill()

        turns = {"alone": partial(self.turn, make, "fast", keeps=True), "beside": busy}
        seconds = interleaved(turns, self.repeats)
        alone, beside = seconds["alone"], seconds["beside"]
        self.say(
            f"\nBeside one busy process, train, sample: {beside:.3f} s in place of {alone:.3f},"
            f" {beside / alone:.2f} times as long."
        )

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


def maker() -> str:
    """Who made this machine's processor, as titles say it."""
    known = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD"}
    return known.get(processor().maker, processor().maker)


def machine(device: torch.device) -> str:
    """The day, what computes here, and torch's version."""
    cpu = f"{platform.machine()} {processor()}, {torch.get_num_threads()} threads"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return f"{datetime.now(UTC):%Y-%m-%d}, {name}, torch {torch.__version__}"
