"""Tool `demo`: the models in a page of one's own browser."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from cdcd.demo.bounds import Bounds
from cdcd.finding import Task
from pipeline.generation.opening import Model
from pipeline.generation.timings import Timings
from pipeline.runtime.cpu import choose_products
from pipeline.runtime.errors import UserError
from pipeline.runtime.memory import keep_memory
from pipeline.runtime.scratch import home
from stages.making import opened_for

Name = Annotated[str | None, typer.Option(help="Its model, as `cdcd generate --model` takes it.")]


def demo(
    dance_model: Name = None,
    caption_model: Name = None,
    class_model: Name = None,
    host: Annotated[
        str, typer.Option(help="Where it listens; this machine alone, unless told otherwise.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0, max=65535)] = 7860,
    longest: Annotated[
        float, typer.Option(help="Seconds of a dance; longer ones are refused.", min=0.5)
    ] = Bounds.seconds,
    largest: Annotated[
        int, typer.Option(help="Megabytes of an uploaded file.", min=1)
    ] = Bounds.megabytes,
) -> None:
    """Show the models in a page of your own browser: music for a dance, pictures for captions and
    classes, edits.

    In: the models that `cdcd generate` would take, or those that are named; a tab whose model is
    missing says which command makes it. Out: a page at http://127.0.0.1:7860, for this machine
    alone unless --host says otherwise; nothing leaves the machine, and uploads and results are
    removed when the page ends (Ctrl+C). Needs the extra `demo`.

    Example: cdcd demo, or cdcd demo --dance-model dancer --port 8000
    """
    keep_memory()
    choose_products()
    try:
        import gradio  # noqa: F401
    except ModuleNotFoundError:
        raise UserError(
            "The demo needs Gradio, which is not installed: `pip install 'cdcd[demo]'`."
        ) from None
    with tempfile.TemporaryDirectory(prefix="cdcd-demo-") as folder:
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        from cdcd.demo.app import application, build, listening, serve
        from cdcd.demo.making import Workshop

        server = listening(host, port)
        models = opened({"dance": dance_model, "caption": caption_model, "class": class_model})
        bounds = Bounds(megabytes=largest, seconds=longest)
        shop = Workshop(Path(folder), home() / "demo", bounds)
        app = application(build(models, shop), shop)
        print(f"http://{host}:{server.getsockname()[1]} (Ctrl+C ends it)", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):  # the server's own; then all is cleared
            signal.signal(number, signal.SIG_IGN)
        serve(app, server)


def opened(names: dict[Task, str | None]) -> dict[Task, Model | UserError]:
    """The model of each task, or what is to be told in its tab; raises UserError where there is no
    model at all.
    """
    models: dict[Task, Model | UserError] = {}
    for task, name in names.items():
        try:
            models[task] = opened_for(task, name, None, Timings())
        except UserError as mistake:
            models[task] = UserError(str(mistake).replace("--model", f"--{task}-model"))
            print(f"{task}: {models[task]}", flush=True)
    missing = [model for model in models.values() if isinstance(model, UserError)]
    if len(missing) == len(models):
        raise missing[0]
    return models
