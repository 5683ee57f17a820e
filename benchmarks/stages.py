"""`python -m benchmarks.stages`: what a user of the pipeline waits for, on this machine.

Seconds of every stage at its last run here ($CDCD_HOME/seconds.csv, which the command line keeps),
clips a second of `extract` and `tokenize`, and samples a second at 5, 20 and 40 steps, drawn now.
"""

import time
from typing import Annotated

import typer

from benchmarks.core import machine
from benchmarks.page import TIMES, told
from pipeline.runtime.cpu import choose_products
from pipeline.runtime.device import device
from pipeline.runtime.memory import keep_memory
from pipeline.runtime.seconds import last_seconds
from pipeline.storage.conditions import condition_inputs
from pipeline.storage.store import Store
from stages.__main__ import STAGES
from stages.config import read_dataset, read_params
from stages.drawing import fitting_model, tokens_for
from stages.paths import Paths
from stages.sample import rows_to_sample

STEPS, AT_ONCE = (5, 20, 40), 64

app = typer.Typer(add_completion=False)


@app.command()
def main(
    write: Annotated[
        bool, typer.Option("--write", help="Put the table into docs/times.md.")
    ] = False,
) -> None:
    """Tells seconds a stage, clips and samples a second of the data sets of params.yaml."""
    keep_memory()
    choose_products()
    with told(TIMES, write) as say:
        datasets, seconds = read_params().datasets, last_seconds()
        _say_stages(datasets, seconds, say)
        _say_rates(datasets, seconds, say)


def _say_stages(datasets: list[str], seconds: dict[tuple[str, str], float], say) -> None:
    say("### stages: seconds of the last run of each\n")
    say(f"{machine(device())}. An empty cell: never run here.\n")
    say(f"| data set | {' | '.join(STAGES[:-1])} | all |")
    say("|---|" + "---|" * len(STAGES))
    for dataset in datasets:
        known = [seconds.get((dataset, stage)) for stage in STAGES[:-1]]
        cells = ["" if one is None else f"{one:.0f}" for one in known]
        say(f"| {dataset} | {' | '.join(cells)} | {sum(one or 0 for one in known):.0f} |")
    say("")


def _say_rates(datasets: list[str], seconds: dict[tuple[str, str], float], say) -> None:
    heads = [f"samples/s, {steps} steps" for steps in STEPS]
    say("### rates: whole stages, and samples drawn 64 at a time\n")
    say(f"| data set | extract, clips/s | tokenize, clips/s | {' | '.join(heads)} |")
    say("|---|---|---|" + "---|" * len(STEPS))
    for dataset in datasets:
        paths = Paths(dataset)
        counts = {
            "extract": len(Store(paths.conditions, "conditions").ids),
            "tokenize": len(Store(paths.tokens, "tokens").ids),
        }
        taken = {stage: seconds.get((dataset, stage)) for stage in counts}
        cells = [f"{counts[one] / found:.1f}" if found else "" for one, found in taken.items()]
        cells += [f"{samples_a_second(dataset, steps):.1f}" for steps in STEPS]
        say(f"| {dataset} | {' | '.join(cells)} |")
    say("")


def samples_a_second(dataset: str, steps: int) -> float:
    """How fast the trained model of a data set samples one batch with so many steps."""
    settings, paths = read_dataset(dataset), Paths(dataset)
    conditions = Store(paths.conditions, "conditions")
    manifest, network = (
        paths.manifest(settings.media_root),
        fitting_model(settings, paths, conditions),
    )
    rows = rows_to_sample(manifest, conditions, AT_ONCE)
    ids = [manifest.clips[row].id for row in rows]
    inputs = condition_inputs(conditions, conditions.rows_of(ids))
    sampling = settings.sample.sampling.model_copy(update={"steps": steps})
    config = settings.sample.model_copy(update={"sampling": sampling})
    started = time.perf_counter()
    tokens_for(network, inputs, config, [(0, "tokens", one) for one in ids])
    return len(ids) / (time.perf_counter() - started)


if __name__ == "__main__":
    app()
