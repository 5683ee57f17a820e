"""Opening media files so that whatever is wrong with them becomes one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.container
from av.error import FFmpegError

from pipeline.runtime.errors import UserError


@contextmanager
def open_media(path: Path) -> Iterator[av.container.InputContainer]:
    """An open PyAV container; raises UserError, here and while decoding, when the file is missing,
    damaged or no media.
    """
    try:
        with av.open(str(path)) as container:
            yield container
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (FFmpegError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UserError(
            f"{path} cannot be decoded ({reason}): it is truncated, damaged or not audio or video."
        ) from None


def origin_s(container: av.container.InputContainer) -> float:
    """The time stamp in seconds that counts as 0 for the whole file, sound and pictures alike."""
    return (container.start_time or 0) / av.time_base
