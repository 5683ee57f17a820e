"""Video files: what they hold, their frames at a wanted rate, and writing them with a sound
track.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, count, islice
from pathlib import Path

import av
import av.container
import numpy as np
import soxr

from pipeline.media.audio import limit_peak
from pipeline.media.container import open_media, origin_s
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic

EXTENSIONS = (".mp4", ".mov", ".avi", ".webm", ".mkv", ".m4v")
_HELD_S = 0.25  # how long the last picture may stand in for what is missing at the end
# of new sound tracks, whose length is whole frames: with FFmpeg's own 64 kbit/s the coding error is
# 20 dB below the music, with these 43 dB
_AAC_RATE, _AAC_FRAME, _AAC_BITS = 48_000, 1024, 192_000


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds: mean frame rate, when its pictures end and (`start_s`) begin, their
    upright size in pixels, whether there is sound.
    """

    fps: float
    duration_s: float
    n_frames: int
    width: int
    height: int
    has_audio: bool
    start_s: float = 0.0


def probe(path: Path) -> VideoInfo:
    """What is really in a video file, by reading every packet and decoding one picture.

    Raises UserError when it cannot be read, holds no pictures, or ends before the length that its
    header states.
    """
    with open_media(path) as container:
        stream = _video_stream(container, path)
        streams = [stream, *container.streams.audio[:1]]
        n_frames, ends = 0, {each.index: 0.0 for each in streams}
        for packet in container.demux(streams):
            if packet.pts is not None:
                end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base) - origin_s(
                    container
                )
                ends[packet.stream_index] = max(ends[packet.stream_index], end_s)
                n_frames += packet.stream_index == stream.index
        stated_s = (container.duration or 0) / av.time_base
        missing_s = stated_s - max(ends.values())
        if n_frames < 0.95 * stream.frames or missing_s > max(1.0, 0.05 * stated_s):
            raise UserError(
                f"{path} is truncated: {max(ends.values()):.1f} of {stated_s:.1f} seconds are"
                " there; fetch it again."
            )
        has_audio, pictures_s = bool(container.streams.audio), ends[stream.index]
        fps = float(stream.average_rate or stream.guessed_rate or n_frames / max(pictures_s, 1e-3))
        first_s = _first_pts(path) * float(stream.time_base or 0)
        start_s = max(0.0, first_s - origin_s(container))
    height, width, _ = next(read_frames(path, fps)).shape
    return VideoInfo(fps, max(pictures_s, 1 / fps), n_frames, width, height, has_audio, start_s)


def _first_pts(path: Path) -> int:
    """When the first picture is shown, by the stream's own clock: the earliest of the first
    packets, as not every container says it, and pictures are stored out of order.
    """
    with open_media(path) as container:
        packets = islice(container.demux(_video_stream(container, path)), 64)
        times = [packet.dts if packet.pts is None else packet.pts for packet in packets]
        return min((time for time in times if time is not None), default=0)


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    if not container.streams.video:
        raise UserError(
            f"{path} holds no pictures, only"
            f" {', '.join(s.type for s in container.streams) or 'nothing'}."
        )
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def read_frames(
    path: Path,
    fps: float,
    start_s: float = 0.0,
    duration_s: float | None = None,
    short_side: int | None = None,
) -> Iterator[np.ndarray]:
    """Yields RGB frames [H, W, 3] uint8 at `fps`: exactly round(duration_s * fps), or to the end of
    the video.

    Frame k is the picture nearest in time to start_s + k / fps (variable rates included), upright
    and with square pixels, scaled so that its shorter side is `short_side`. Never more than a few
    pictures are in memory. Raises UserError when the file cannot be decoded or its pictures end
    more than a quarter of a second too early.
    """
    with open_media(path) as container:
        stream = _video_stream(container, path)
        pictures = _timed(container, stream, start_s)
        shown, following = next(pictures, None), next(pictures, None)
        if shown is None:
            raise UserError(f"{path} holds no picture that can be decoded after {start_s:.2f} s.")
        aspect = float(stream.sample_aspect_ratio or 1)
        step_s = 1 / float(stream.average_rate or stream.guessed_rate or fps)
        numbers = count() if duration_s is None else range(round(duration_s * fps))
        image = None
        for number in numbers:
            time_s = start_s + number / fps
            while following and abs(following[0] - time_s) < abs(shown[0] - time_s) - 1e-6:
                shown, following, image = following, next(pictures, None), None
            end_s = shown[0] + step_s if following is None else np.inf
            if duration_s is None and time_s > end_s - step_s / 2:
                return
            if duration_s is not None and time_s > end_s + _HELD_S:
                raise UserError(
                    f"{path} ends at {end_s:.2f} s, before the wanted {start_s + duration_s:.2f} s."
                )
            if image is None:
                image = _upright(shown[1], aspect, short_side)
            yield image


def timed_frames(
    path: Path,
    most_fps: float,
    start_s: float = 0.0,
    duration_s: float | None = None,
    short_side: int | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yields (seconds since start_s, RGB frame [H, W, 3] uint8) of the pictures as they were
    filmed, from the last one at or before the start to the first at or after the end; of more than
    `most_fps` a second every second one, or third, and so on.

    The pictures are as `read_frames` gives them. Raises UserError when the file cannot be decoded
    or its pictures end more than a quarter of a second too early.
    """
    with open_media(path) as container:
        stream = _video_stream(container, path)
        aspect, rate = float(stream.sample_aspect_ratio or 1), stream.average_rate
        end_s = np.inf if duration_s is None else start_s + duration_s
        last: tuple[float, av.VideoFrame] | None = None
        shown_s = -np.inf
        for timed in _timed(container, stream, start_s):
            if last is None or timed[0] <= start_s:
                last = timed
                continue
            if last[0] - shown_s >= 0.9 / most_fps:
                yield last[0] - start_s, _upright(last[1], aspect, short_side)
                shown_s = last[0]
            last = timed
            if timed[0] >= end_s:
                break
        if last is None:
            raise UserError(f"{path} holds no picture that can be decoded after {start_s:.2f} s.")
        yield last[0] - start_s, _upright(last[1], aspect, short_side)
        until_s = last[0] + 1 / float(rate or most_fps)
        if duration_s is not None and end_s > until_s + _HELD_S:
            raise UserError(f"{path} ends at {until_s:.2f} s, before the wanted {end_s:.2f} s.")


def _timed(
    container: av.container.InputContainer, stream: av.VideoStream, start_s: float
) -> Iterator[tuple[float, av.VideoFrame]]:
    """The pictures with their times in seconds, from the last key frame at or before `start_s`."""
    origin = origin_s(container)
    if start_s > 0:
        assert stream.time_base is not None, "an opened stream has a clock"
        container.seek(round((start_s + origin) / stream.time_base), stream=stream)
    frames = container.decode(stream)
    first = next(frames, None)
    if start_s > 0 and (
        first is None or _time_s(first) - origin > start_s
    ):  # an index that points past its mark
        container.seek(round(origin * av.time_base))
        frames = container.decode(stream)
        first = next(frames, None)
    for frame in chain([first] if first else [], frames):
        yield _time_s(frame) - origin, frame


def _time_s(frame: av.VideoFrame) -> float:
    """When the frame is shown, in seconds of the file's own clock."""
    assert frame.time is not None, "a decoded frame has a time"
    return frame.time


def _upright(frame: av.VideoFrame, aspect: float, short_side: int | None) -> np.ndarray:
    """The frame as RGB, pixels made square, scaled, and turned as its display matrix says."""
    width, height = frame.width * aspect, frame.height
    scale = short_side / min(width, height) if short_side else 1.0
    width, height = round(width * scale), round(height * scale)
    image = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="BICUBIC")
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float,
    waveform: np.ndarray | None = None,
    sample_rate: int | None = None,
) -> None:
    """Writes an H.264 mp4 from RGB frames [H, W, 3] uint8, with AAC sound when a mono waveform [T]
    is given; atomic.

    The same input gives the same bytes. Odd sides lose their last row or column (4:2:0 chroma); no
    frame is a UserError.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise UserError(f"{path} cannot be written: there is no frame.")
    height, width = first.shape[0] // 2 * 2, first.shape[1] // 2 * 2
    # x264's macroblock tree reads past the picture unless its width is a multiple of 128: other
    # bytes at every run.
    options = {"crf": "18", "preset": "veryfast", "threads": "1", "mbtree": "0"}
    with atomic(Path(path)) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        video = container.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(1001), options=options
        )
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        sound = None
        if waveform is not None:
            assert sample_rate is not None, "sound has a rate"
            sound = _sound_stream(container, sample_rate)
        for image in chain([first], frames):
            picture = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(image[:height, :width]), format="rgb24"
            )
            container.mux(video.encode(picture))
        container.mux(video.encode())
        if sound is not None and waveform is not None:
            _encode_sound(container, sound, waveform)


def write_clip(
    source: Path,
    path: Path,
    start_s: float,
    duration_s: float,
    waveform: np.ndarray,
    sample_rate: int,
    short_side: int,
) -> None:
    """Writes a stretch of a video under new sound, encoded again with `short_side` pixels at no
    more than 30 fps.
    """
    with open_media(source) as container:
        fps = min(30.0, float(_video_stream(container, source).average_rate or 30))
    write_video(
        path, read_frames(source, fps, start_s, duration_s, short_side), fps, waveform, sample_rate
    )


def mux_sound(source: Path, path: Path, waveform: np.ndarray, sample_rate: int) -> None:
    """Writes the pictures of `source`, untouched and with their rotation, under a new sound track
    [T] to an mp4; both begin at once.

    The track is at 48 kHz and whole AAC frames long, the number nearest to the waveform's length:
    at most 11 ms more or less, by whatever player it is measured.
    """
    samples = soxr.resample(np.asarray(waveform, np.float32), sample_rate, _AAC_RATE)
    length = max(1, round(len(samples) / _AAC_FRAME)) * _AAC_FRAME
    samples = np.pad(samples[:length], (0, max(0, length - len(samples))))
    with (
        open_media(source) as pictures,
        atomic(Path(path)) as temporary,
        av.open(str(temporary), "w", format="mp4") as container,
    ):
        stream = _video_stream(pictures, source)
        video = container.add_stream_from_template(stream)
        sound = _sound_stream(container, _AAC_RATE)
        sound.bit_rate = _AAC_BITS
        first = _first_pts(source)
        for packet in _with_dts(pictures.demux(stream)):
            if packet.pts is not None:
                packet.pts -= first
            if packet.dts is not None:
                packet.dts -= first
            packet.stream = video
            container.mux(packet)
        _encode_sound(container, sound, samples)


def _with_dts(packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
    """The packets that hold something; those at the beginning to which the container gives no time
    of decoding (Matroska) get the ones before the first that is given.
    """
    waiting: list[av.Packet] = []
    for packet in packets:
        if packet.size == 0:
            continue
        if packet.dts is None:
            waiting.append(packet)
            continue
        for number, early in enumerate(reversed(waiting), start=1):
            early.dts = packet.dts - number * (packet.duration or 1)
        yield from waiting
        waiting.clear()
        yield packet
    for packet in waiting:  # no packet has one: pictures in the order in which they are shown
        packet.dts = packet.pts
        yield packet


def _sound_stream(container: av.container.OutputContainer, sample_rate: int) -> av.AudioStream:
    return container.add_stream("aac", rate=sample_rate, layout="mono")


def _encode_sound(
    container: av.container.OutputContainer, stream: av.AudioStream, waveform: np.ndarray
) -> None:
    """Encodes the whole waveform, peak-limited, into `stream`."""
    samples = limit_peak(np.asarray(waveform, dtype=np.float32))
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts = stream.rate, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode())
