"""The page as a whole, and the server that shows it."""

import socket
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from gradio.themes import Default
from starlette.responses import Response

from cdcd.demo.answering import sentence
from cdcd.demo.caption import caption_tab
from cdcd.demo.dance import dance_tab
from cdcd.demo.edit import music_editor, picture_editor
from cdcd.demo.label import class_tab
from cdcd.demo.making import Workshop
from cdcd.finding import Task
from pipeline.generation.opening import Model
from pipeline.runtime.errors import UserError

TABS: dict[Task, Callable[[Any, Workshop], None]] = {
    "dance": dance_tab,
    "caption": caption_tab,
    "class": class_tab,
}
EDITORS: dict[Task, tuple[str, Callable[[Any, Workshop], None]]] = {
    "dance": ("music", music_editor),
    "caption": ("by caption", picture_editor),
    "class": ("by class", picture_editor),
}
FONTS = ["system-ui", "sans-serif"]
WAITING = 20  # more than so many at once are asked to come back
HOUR = 3600
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self'"
    " 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self'"
    " data:; worker-src 'self' blob:; connect-src 'self' data: blob:"
)
CSS = """
.gradio-container {width: 100%; max-width: 1180px !important; margin: 0 auto !important}
@media (max-width: 600px) {.gradio-container main {padding: 12px !important}}
.answer .html-container, .named .html-container {padding: 0 !important}
.answer {min-height: 3.2rem}
.said {margin: 0; padding: .7rem .9rem; border-radius: 6px; border-left: 4px solid}
.said.model {padding: 0; border: 0; opacity: .6; font-size: .85rem}
.said.mistake {border-color: #d55e00; background: rgba(213, 94, 0, .10)}
.said.done {border-color: #009e73; background: rgba(0, 158, 115, .08)}
.pixels img {image-rendering: pixelated}
.variant .pixels img {width: 100%; height: 100%; object-fit: contain}
.spectrogram img {width: 100%; height: auto}
"""


def build(models: Mapping[Task, Model | UserError], shop: Workshop) -> gr.Blocks:
    """The page: a tab for each task and one for edits; where a model is missing, the sentence that
    says what to do stands in its place.
    """
    with gr.Blocks(
        title="cdcd", analytics_enabled=False, delete_cache=(HOUR // 6, HOUR), fill_width=True
    ) as page:
        gr.Markdown("# cdcd\nMusic for dances, pictures for captions and classes.")
        with gr.Tabs():
            for task, lay_out in TABS.items():
                with gr.Tab(task, id=task):
                    _tab(models[task], lay_out, shop)
            with gr.Tab("edit", id="edit"), gr.Tabs():
                for task, (name, lay_out) in EDITORS.items():
                    with gr.Tab(name, id=f"edit_{task}"):
                        _tab(models[task], lay_out, shop)
    page.queue(max_size=WAITING, default_concurrency_limit=1, api_open=False)
    return page


def _tab(model: Model | UserError, lay_out: Callable[[Any, Workshop], None], shop: Workshop):
    if isinstance(model, UserError):
        gr.HTML(sentence(str(model)), elem_classes="named")
        return
    gr.HTML(sentence(f"Model: {model.name}", "model"), elem_classes="named")
    lay_out(model, shop)


def application(page: gr.Blocks, shop: Workshop) -> FastAPI:
    """The page as an application whose answers forbid the browser every other server."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def at_home(request: Request, answer) -> Response:
        response = await answer(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        allowed_paths=[str(shop.folder), str(shop.examples)],
        max_file_size=f"{shop.bounds.megabytes}mb",
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=Default(primary_hue="blue", font=FONTS, font_mono=["ui-monospace", "monospace"]),
        css=CSS,
    )


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there (port 0: any that is free); raises UserError where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, port))
    except (OSError, OverflowError) as error:
        server.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"The page cannot be served at --host {host}, --port {port} ({reason}); choose"
            " another port or host."
        ) from None
    server.listen()
    return server


def serve(app: FastAPI, server: socket.socket) -> None:
    """Answers browsers until the process is told to stop."""
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[server])
