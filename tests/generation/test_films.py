"""The films that are made: as long at any frame rate, upright as filmed, played by a browser."""

import av
import numpy as np
import pytest

from pipeline.media.video import probe, write_video
from tests.generation.conftest import MARKERS
from tests.helpers.browser import chromium
from tests.helpers.small_models import HOP, RATE, write_dance

RATES = (24, 25, 29.97, 50, 59.94)


def lengths(film):
    """Seconds of the pictures and of the sound of a film."""
    with av.open(str(film)) as container:
        return [float(stream.duration * stream.time_base) for stream in container.streams]


def test_the_same_dance_at_five_frame_rates_gives_music_of_the_same_length(music, tmp_path):
    counts, seconds = set(), []
    for fps in RATES:
        dance = write_dance(tmp_path / f"{fps}.mp4", 1.999, fps)  # whole frames at none of them
        made = music.generate(dance, pose=MARKERS)
        pictures_s, sound_s = lengths(made.save(tmp_path / f"made_{fps}.mp4")[0])
        assert abs(pictures_s - sound_s) <= 0.02
        assert made.waveforms.shape[1] == round(probe(dance).duration_s * RATE)
        assert abs(made.waveforms.shape[1] / RATE - 1.999) <= 0.5 / fps + 1e-3
        counts.add(made.tokens.shape[1])
        seconds.append(made.waveforms.shape[1] / RATE)
    assert counts == {2 * RATE // HOP}
    assert max(seconds) - min(seconds) <= 0.5 / 24 + 0.5 / 24


@pytest.fixture
def portrait(music, tmp_path):
    """A film made for a clip that is higher than wide."""
    noise = np.random.default_rng(0).integers(0, 255, (30, 64, 36, 3), dtype=np.uint8)
    write_video(tmp_path / "dance.mp4", noise, 20)
    return music.generate(tmp_path / "dance.mp4", pose=MARKERS).save(tmp_path / "made.mp4")[0]


def test_portrait_stays_portrait(portrait):
    info = probe(portrait)
    assert (info.width, info.height) == (36, 64)


def test_chromium_plays_it(portrait):
    (portrait.parent / "page.html").write_text("<video src=made.mp4></video>")
    with chromium("--autoplay-policy=no-user-gesture-required") as browser:
        page = browser.new_page()
        page.goto((portrait.parent / "page.html").as_uri())
        shown = page.evaluate(
            """async () => {
                const video = document.querySelector("video");
                const ended = new Promise((done, fail) => {
                    video.onended = done;
                    video.onerror = () => fail(video.error.message);
                });
                await video.play();
                await ended;
                return [video.duration, video.videoWidth, video.videoHeight,
                        video.webkitAudioDecodedByteCount, video.webkitDecodedFrameCount];
            }"""
        )
    duration, width, height, heard, seen = shown
    assert abs(duration - 1.5) <= 0.02
    assert (width, height) == (36, 64)
    assert heard > 1000
    assert seen >= 25
