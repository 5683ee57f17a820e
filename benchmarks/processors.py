"""`python -m benchmarks.processors`: which products are fastest on this processor.

Training and reverse steps of the toy and of the caption network by torch's products and by
oneDNN's, taking turns in one process. With --write the row goes into the table that ships with the
package (pipeline/runtime/processors.yaml).
"""

import math
import statistics
from collections.abc import Callable
from typing import Annotated, Literal

import torch
import typer
from ruamel.yaml import YAML

from benchmarks.cases import CASES
from benchmarks.measure import CLOCKS, Clock
from benchmarks.timed_runs import Bench
from pipeline.runtime.cpu import fast_products_exist, use_products
from pipeline.runtime.files import atomic
from pipeline.runtime.memory import keep_memory
from pipeline.runtime.processor import TABLE, Choice, Processor, processor

CPU = torch.device("cpu")
WORTH = 0.97  # of torch's time: what oneDNN's must stay below to be taken

app = typer.Typer(add_completion=False)


@app.command()
def main(
    case: Annotated[list[str], typer.Option(help="Which networks.")] = ("toy", "text"),
    turns: Annotated[int, typer.Option(min=1, help="Turns of either side.")] = 7,
    clock: Annotated[
        Literal["wall", "cpu"], typer.Option(help="cpu: for a shared machine, with one thread.")
    ] = "wall",
    write: Annotated[
        bool, typer.Option("--write", help="Put the row into processors.yaml.")
    ] = False,
) -> None:
    """Measures oneDNN's products against torch's on this processor."""
    if not fast_products_exist():
        raise SystemExit("Error: This torch has no products by oneDNN; there is nothing to choose.")
    keep_memory()
    ratios = {}
    for name in case:
        bench = Bench(CASES[name], CPU, CASES[name].batch)
        runs = {"training": bench.fast_training("sample"), "reverse step": bench.reverse()["fast"]}
        for what, run in runs.items():
            ratios[f"{name} {what}"] = ratio(run, turns, CLOCKS[clock])
            typer.echo(f"{name} {what}: {ratios[f'{name} {what}']:.2f}")
    products = choice(list(ratios.values()))
    typer.echo(f"{processor()}: {products}")
    if write:
        write_row(processor(), products, ratios)


def ratio(run: Callable[[], object], turns: int, clock: Clock) -> float:
    """The median of oneDNN's seconds over torch's, the two taking turns."""
    seconds: dict[Choice, list[float]] = {"torch": [], "onednn": []}
    for turn in range(turns + 1):
        for name, taken in seconds.items():
            use_products(name)
            started = clock()
            run()
            if turn:  # the first lays out the memory
                taken.append(clock() - started)
    return statistics.median(b / a for a, b in zip(seconds["torch"], seconds["onednn"]))


def choice(ratios: list[float]) -> Choice:
    """OneDNN's products where they are quicker by the geometric mean, torch's else."""
    return "onednn" if math.prod(ratios) ** (1 / len(ratios)) < WORTH else "torch"


def write_row(which: Processor, products: Choice, ratios: dict[str, float]) -> None:
    """Puts the row of a processor into the table, in place of its old one; comments stay."""
    yaml = YAML()
    yaml.width = 200
    table = yaml.load(TABLE)
    told = ", ".join(f"{name} {value:.2f}" for name, value in ratios.items())
    row = {
        "maker": which.maker,
        "feature": which.feature,
        "products": products,
        "measured": f"seconds by onednn over those by torch, {told}",
    }
    for old in table:
        if (old["maker"], old["feature"]) == (which.maker, which.feature):
            old.update(row)
            break
    else:
        table.append(row)
    with atomic(TABLE) as temporary:
        yaml.dump(table, temporary)


if __name__ == "__main__":
    app()
