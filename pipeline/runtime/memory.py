"""What a process does with the memory that it frees."""

import ctypes
import platform


def keep_memory() -> None:
    """Lets this process hold on to the memory that it frees, instead of giving large arrays back to
    the system each time.

    Training frees and takes the same large arrays step after step, and the system hands out each
    page anew, filled with zeros. Turns off trimming and mmap in glibc (M_TRIM_THRESHOLD, M_MMAP_MAX
    of mallopt(3)); elsewhere nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-1, -1)
        libc.mallopt(-4, 0)
