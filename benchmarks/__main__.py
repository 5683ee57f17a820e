"""`python -m benchmarks`: the table of benchmarks/README.md, measured on this machine."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

import torch
import typer

from benchmarks.cases import CASES
from benchmarks.core import BOTH, Ceiling, maker, tables
from benchmarks.measure import CLOCKS, passes_over
from benchmarks.page import README, write_results
from benchmarks.timed_runs import Bench
from pipeline.runtime.cpu import choose_products
from pipeline.runtime.device import device as default_device
from pipeline.runtime.errors import UserError

app = typer.Typer(add_completion=False)


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
                "Put the tables into benchmarks/README.md, in place of those of the same networks"
                " and processor."
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
    ceiling, lines = Ceiling(device, dtype, CLOCKS[clock]), []

    def say(line: str) -> None:
        typer.echo(line)
        lines.append(line)

    names = case or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        raise typer.BadParameter(
            f"{unknown[0]!r} is none of {', '.join(CASES)}.", param_hint="--case"
        )
    _count_passes(say)
    try:
        where = maker() if device.type == "cpu" else torch.cuda.get_device_name(device)
        sizes = {name: batch for name in names}
        tables(sizes, repeats, ceiling, bf16, compile, chains, say, where)
        if write:
            write_results(README, lines)
    except UserError as mistake:
        typer.echo(f"{mistake} Nothing was written; what was measured stands above.", err=True)
        raise typer.Exit(1) from None


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


if __name__ == "__main__":
    app()
