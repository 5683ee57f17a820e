"""Whether finished films play in Chromium, upright, with sound and pictures of one length.

    cdcd generate dances/ --out generated && python -m benchmarks.films generated [--clips dances]

A film counts as played when the browser reaches its end, has decoded its sound, and shows it as the
clip of the same name was filmed. Needs Chromium and playwright.
"""

from pathlib import Path
from shutil import which
from typing import Annotated

import av
import typer
from playwright.sync_api import sync_playwright

from pipeline.media.video import probe
from pipeline.runtime.errors import UserError

MOST_APART_S = 0.02
PLAY = """async () => {
    const video = document.querySelector("video");
    const ended = new Promise((done, fail) => {
        video.onended = done;
        video.onerror = () => fail(video.error.message);
    });
    video.playbackRate = 4;
    await video.play();
    await ended;
    return [video.videoWidth, video.videoHeight, video.webkitAudioDecodedByteCount];
}"""


def apart_s(film: Path) -> float:
    """Seconds by which the sound of a film is longer than its pictures."""
    with av.open(str(film)) as container:
        pictures, sound = container.streams.video[0], container.streams.audio[0]
        seconds = [float((s.duration or 0) * (s.time_base or 0)) for s in (pictures, sound)]
    return seconds[1] - seconds[0]


def main(
    folder: Annotated[Path, typer.Argument(help="Films that `cdcd generate` made.")],
    clips: Annotated[Path | None, typer.Option(help="The folder of the clips' own.")] = None,
) -> None:
    """Prints a line for each film; ends with 1 where one fails."""
    browser_file = which("chromium") or which("google-chrome")
    if browser_file is None:
        raise UserError("There is no Chromium on this machine; install it first.")
    films, failed = sorted(folder.glob("*.mp4")), 0
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=browser_file,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        page = browser.new_page()
        page.goto(folder.absolute().as_uri())  # a film of the same origin may be shown there
        for film in films:
            page.set_content(f'<video src="{film.absolute().as_uri()}"></video>')
            width, height, heard = page.evaluate(PLAY)
            wanted = named(clips, film)
            shape = wanted is None or shown(wanted) == (width, height)
            difference = apart_s(film)
            good = heard > 0 and shape and abs(difference) <= MOST_APART_S
            failed += not good
            print(
                f"{film.name}: {width} x {height}, sound {1000 * difference:+.1f} ms,"
                f" {'played' if good else 'FAILED'}"
            )
        browser.close()
    print(f"{len(films) - failed} of {len(films)} played as they should")
    raise typer.Exit(int(failed > 0))


def named(clips: Path | None, film: Path) -> Path | None:
    """The clip of which a film was made: its path in the folder is the film's name."""
    if clips is None:
        return None
    files = [file for file in clips.rglob("*") if file.is_file()]
    by_name = {"_".join(file.relative_to(clips).with_suffix("").parts): file for file in files}
    return by_name.get(film.stem.partition("_seed")[0])


def shown(clip: Path) -> tuple[int, int]:
    """Width and height of a clip as it is shown."""
    info = probe(clip)
    return info.width, info.height


if __name__ == "__main__":
    typer.run(main)
