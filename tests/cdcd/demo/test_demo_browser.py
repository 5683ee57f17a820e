"""The page in a real browser: every tab does its work, what is broken is told, and nothing outside
this machine is asked for.
"""

import threading
import time

import pytest
from PIL import Image

from tests.helpers.browser import chromium

pytest.importorskip("gradio", reason="the demo needs `pip install 'cdcd[demo]'`")

import uvicorn

from cdcd.demo.app import application, build, listening

WAIT = 30_000  # milliseconds, for machines with other work
SENTENCE = ".said.done:visible, .said.mistake:visible"


@pytest.fixture(scope="module")
def address(models, shop):
    app, server = application(build(models, shop), shop), listening("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [server]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    running.should_exit = True
    thread.join(timeout=10)


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(params=[1280, 390], ids=["desk", "phone"])
def page(request, address, browser):
    """The page at the width of a desk or a phone; afterwards it must not have asked anybody else
    for anything, nor be wider than the window.
    """
    opened = browser.new_page(viewport={"width": request.param, "height": 844})
    opened.set_default_timeout(WAIT)
    asked, faults = [], []
    opened.on("request", lambda question: asked.append(question.url))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto(address)
    opened.wait_for_selector("#dance_go")
    yield opened
    assert not [url for url in asked if not url.startswith((address, "blob:", "data:"))]
    assert not faults
    assert opened.evaluate("document.documentElement.scrollWidth") <= request.param
    opened.close()


def tab(page, name):
    page.get_by_role("tab", name=name, exact=True).locator("visible=true").click()


def press(page, button):
    """The sentence that stands in the page once the work is done."""
    before = page.locator(SENTENCE)
    stale = before.first.inner_text() if before.count() else None
    page.locator(f"#{button}").click()
    if stale is not None:
        page.wait_for_function(
            "([chosen, stale]) => [...document.querySelectorAll(chosen)].some(x =>"
            " x.offsetParent && x.innerText !== stale)",
            arg=[".said.done, .said.mistake", stale],
        )
    page.locator(SENTENCE).first.wait_for()
    return page.locator(SENTENCE).first.inner_text()


def test_every_tab_does_its_work(page, tmp_path):
    page.get_by_role("button", name="Try another").click()
    page.wait_for_selector("#dance_video video")
    page.get_by_label("number input for Variants").locator("visible=true").fill("2")
    page.get_by_label("number input for Variants").locator("visible=true").press("Tab")
    assert press(page, "dance_go").startswith("Made in")
    assert page.locator(".variant:visible video").count() == 2
    assert page.locator(".variant:visible .spectrogram img").count() == 2
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Sound (wav)").locator("visible=true").first.click()
    waiting.value.save_as(tmp_path / "sound.wav")
    assert waiting.value.suggested_filename == "another_seed0.wav"
    assert (tmp_path / "sound.wav").read_bytes()[:4] == b"RIFF"

    tab(page, "caption")
    page.locator("#caption_text textarea").fill("a red circle")
    assert press(page, "caption_go").startswith("Made in")
    tab(page, "class")
    assert press(page, "class_go").startswith("Made in")
    assert page.locator(".variant:visible img").count() == 1

    tab(page, "edit")
    page.get_by_role("button", name="Try the end of a song").click()
    page.wait_for_selector("#edit_video video")
    page.get_by_label("To second").locator("visible=true").fill("")
    page.get_by_label("From second").locator("visible=true").fill("0.5")
    assert "before" in press(page, "edit_music_go")


def test_what_is_broken_is_told_and_the_page_goes_on(page, tmp_path):
    (tmp_path / "broken.mp4").write_text("no film")
    page.set_input_files("#dance_video input[type=file]", tmp_path / "broken.mp4")
    page.get_by_label("Clear").locator("visible=true").first.wait_for()  # the player may have one
    assert "broken.mp4 cannot be decoded" in press(page, "dance_go")

    tab(page, "caption")
    page.locator("#caption_text textarea").fill("word " * 500)
    assert "500 words" in press(page, "caption_go")
    page.locator("#caption_text textarea").fill("a red circle")
    assert press(page, "caption_go").startswith("Made in")
    tab(page, "class")
    page.locator("#class_label input").fill("bird")
    page.locator("#class_label input").press("Enter")
    assert "no class of the model" in press(page, "class_go")

    tab(page, "dance")
    page.get_by_label("Clear").or_(page.get_by_label("Remove")).locator(
        "visible=true"
    ).first.click()
    (tmp_path / "large.mp4").write_bytes(bytes(2**20 + 1))
    page.set_input_files("#dance_video input[type=file]", tmp_path / "large.mp4")
    page.get_by_text("large.mp4 has 1.0 MB, and 1 MB are the most").wait_for()
    assert page.locator("#dance_video video:visible").count() == 0


def test_a_part_of_a_picture_is_made_anew(page, tmp_path):
    tab(page, "edit")
    tab(page, "by class")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    page.set_input_files("#edit_class_picture input[type=file]", tmp_path / "red.png")
    page.locator("#edit_class_picture img").wait_for()
    numbers = page.locator("#edit_class_numbers input")
    for place, number in enumerate((0, 0, 32, 32)):
        numbers.nth(place).fill(str(number))
        numbers.nth(place).press("Tab")
    assert press(page, "edit_class_go").startswith("Made in")
    numbers.nth(0).fill("60")
    numbers.nth(0).press("Tab")
    assert "does not lie in the picture" in press(page, "edit_class_go")
