"""`python -m benchmarks`: the table of benchmarks/README.md, measured on this machine."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import torch
import typer

from benchmarks.cases import CASES, N_NEGATIVES
from benchmarks.measure import flops, interleaved, matmul_rate, peak_memory
from benchmarks.sides import Bench
from pipeline.runtime import device as default_device

app = typer.Typer(add_completion=False)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
BOTH = ("vanilla", "step, one chain", "sample")


@app.command()
def main(
    case: Annotated[list[str] | None, typer.Option(help=f"Which networks: {', '.join(CASES)}. Default: all.")] = None,
    repeats: Annotated[int, typer.Option(help="Measured turns of each side; the table shows medians.")] = 3,
    batch: Annotated[int, typer.Option(help="Samples a step; 0: as the case says.")] = 0,
    chains: Annotated[bool, typer.Option(help="Also N parallel chains: N + 1 times the work and memory.")] = True,
    bf16: Annotated[bool, typer.Option(help="Autocast on both sides.")] = False,
    compile: Annotated[bool, typer.Option(help="torch.compile the fast side's network.")] = False,
    threads: Annotated[int, typer.Option(help="CPU threads; 0: PyTorch's choice.")] = 0,
    clock: Annotated[Literal["wall", "cpu"], typer.Option(help="cpu: for a shared machine, with one thread.")] = "wall",
) -> None:
    """Times the diffusion core against its textbook twin, the two taking turns, and against the network's FLOPs."""
    if threads:
        torch.set_num_threads(threads)
    device, dtype, seconds = default_device(), torch.bfloat16 if bf16 else torch.float32, CLOCKS[clock]
    rate = matmul_rate(device, dtype, seconds)
    typer.echo(f"{_machine(device)}; matmul {rate / 1e9:.0f} GFLOP/s in {dtype}; medians of {repeats}, {clock} time\n")
    for name in case or CASES:
        if name not in CASES:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(CASES)}.", param_hint="--case")
        Report(Bench(CASES[name], device, batch or CASES[name].batch, bf16, compile), repeats, rate, seconds).show(name, chains)


@dataclass(frozen=True)
class Report:
    """Measures one case and prints its table."""

    bench: Bench
    repeats: int
    rate: float
    clock: Callable[[], float]

    def show(self, name: str, chains: bool) -> None:
        """All rows of the case."""
        bench, spec = self.bench, self.bench.case
        typer.echo(f"### {name}: {spec.layers} x {spec.width}, L {spec.length}, K {spec.n_codes}, batch {bench.batch}\n")
        typer.echo(f"Losses of the two sides agree to {bench.agreement():.1e}.\n")
        typer.echo("| what | textbook s | fast s | ratio | floor s | fast / floor | textbook MB | fast MB |")
        typer.echo("|---|---|---|---|---|---|---|---|")
        floor = flops(bench.pass_of()) / self.rate
        for setting in BOTH:
            self.row(f"train, {setting}", bench.training(setting), floor, memory=True)
        self.row("reverse step", bench.reverse(), flops(bench.reverse()["fast"]) / self.rate)
        for setting in BOTH:
            self.row(f"head and loss, {setting}", bench.head(setting))
        if chains:
            self.chains(floor * (1 + N_NEGATIVES))
        typer.echo("")

    def row(self, what: str, sides: dict, floor: float | None = None, memory: bool = False) -> None:
        """One comparison."""
        device = self.bench.device
        seconds = interleaved(sides, self.repeats, device, self.clock)
        used = {side: f"{peak_memory(run, device) / 1e6:.0f}" if memory else "" for side, run in sides.items()}
        slow, fast = seconds["textbook"], seconds["fast"]
        near = ("", "") if floor is None else (f"{floor:.3f}", f"{fast / floor:.2f}")
        cells = (what, f"{slow:.3f}", f"{fast:.3f}", f"{slow / fast:.1f}x", *near, used["textbook"], used["fast"])
        typer.echo(f"| {' | '.join(cells)} |")

    def chains(self, floor: float) -> None:
        """N parallel chains against N + 1 passes of the bare network, and what a subset of the negatives costs."""
        count = 1 + N_NEGATIVES
        sides = {f"{count} network passes": self.bench.pass_of(count), "all": self.bench.fast_training("step, N chains")}
        sides |= {f"{m} of {N_NEGATIVES}": self.bench.fast_training("step, N chains", m) for m in (1, 3)}
        seconds = interleaved(sides, max(1, self.repeats // 2), self.bench.device, self.clock)
        passes, whole, *_ = seconds.values()
        typer.echo(f"\nParallel chains, N = {N_NEGATIVES}; floor of the {count} passes {floor:.3f} s:\n")
        typer.echo("| " + " | ".join(f"{name} s" for name in sides) + " | all / passes |")
        typer.echo("|" + "---|" * (len(sides) + 1))
        typer.echo(f"| {' | '.join(f'{value:.3f}' for value in seconds.values())} | {whole / passes:.2f} |")


def _machine(device: torch.device) -> str:
    cpu = f"{platform.machine()}, {torch.get_num_threads()} threads"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return f"{datetime.now(UTC):%Y-%m-%d}, {name}, torch {torch.__version__}"


if __name__ == "__main__":
    app()
