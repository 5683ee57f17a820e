"""How many threads work, and how long they wait in a loop for one another; set before torch loads.

GNU's OpenMP lets a thread that waits for the others spin, by default for a very long time: alone on
the machine that is fastest, but beside one busy process each wait lasts a turn of the scheduler.
Measured on two cores beside one busy process, a small training slows 3.3 times with the default and
1.3 times with a bounded count, which costs a few percent alone (benchmarks/README.md).
"""

import os

SPIN_COUNT = 1000


def bound_threads() -> None:
    """Sets GOMP_SPINCOUNT and OMP_NUM_THREADS (the physical cores this process may use) in the
    environment where the user has not set them; to be called before torch is imported.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))
    os.environ.setdefault("OMP_NUM_THREADS", str(physical_cores()))


def own_threads() -> int:
    """The threads of this process's products: what OMP_NUM_THREADS says (the first number of a
    list), or else the physical cores.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isdigit() and int(asked) else physical_cores()


def physical_cores() -> int:
    """The physical cores among the processors that this process may run on; 1 at least."""
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(usable or 1, psutil.cpu_count(logical=False) or 1))
