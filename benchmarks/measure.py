"""Seconds, peak memory and the machine's own matmul rate, with the two sides of a comparison taking
turns.
"""

import ctypes
import gc
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pipeline.runtime.cpu import linear

Clock = Callable[[], float]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def seconds_of(
    run: Callable[[], object], device: torch.device, clock: Clock = time.perf_counter
) -> float:
    """Seconds that one call of `run` takes, the median of as many as fill half a second.

    Of several the first does not count: another process had the caches before. On a shared machine
    `time.process_time` with one thread comes nearer to what an idle machine would need.
    """
    taken: list[float] = []
    while sum(taken) < 0.5:
        _wait(device)
        start = clock()
        run()
        _wait(device)
        taken.append(clock() - start)
    return statistics.median(taken[1:] or taken)


def interleaved(sides: dict[str, Callable[[], float]], turns: int) -> dict[str, float]:
    """Medians of what the sides return; they alternate, so that a busy machine slows all alike."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, turn in sides.items():
            taken[name].append(turn())
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def peak_memory(run: Callable[[], object], device: torch.device) -> float:
    """Bytes that `run` needs at its height, above what was there before (parameters, gradients)."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from now
    before = _resident("VmRSS")
    run()
    return _resident("VmHWM") - before


def matmul_rate(
    device: torch.device, dtype: torch.dtype, clock: Clock = time.perf_counter
) -> float:
    """FLOP/s of a large square matrix product, PyTorch's or ours, whichever is faster: the ceiling
    of any network here.
    """
    size, repeats = (8192, 10) if device.type == "cuda" else (2048, 5)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    ways = {"PyTorch's": lambda: a @ b, "ours": lambda: linear(a, b, None)}
    taken = [seconds_of(way, device, clock) for _ in range(repeats) for way in ways.values()]
    return 2 * size**3 / min(taken)


class _Passes(TorchDispatchMode):
    """Counts in `seen` how many numbers (of four bytes) go in and out of operations, in tensors of
    at least `size` numbers.
    """

    MOVES_NOTHING = ("empty", "empty_like", "empty_strided", "new_empty", "detach")

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.seen = size, 0.0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if (
            not function.is_view
            and function._schema.name.removeprefix("aten::") not in self.MOVES_NOTHING
        ):
            tensors = [
                part
                for part in tree_leaves((args, kwargs, result))
                if isinstance(part, torch.Tensor)
            ]
            self.seen += sum(
                part.numel() * part.element_size() / 4
                for part in tensors
                if part.numel() >= self.size
            )
        return result


def passes_over(size: int, run: Callable[[], object]) -> float:
    """How often `run` reads or writes a float32 tensor of `size` numbers, larger ones in
    proportion.
    """
    with _Passes(size) as counter:
        run()
    return counter.seen / size


def flops(run: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products, convolutions and attentions in `run`."""
    with (
        torch.backends.mkldnn.flags(enabled=False),
        FlopCounterMode(display=False) as counter,
    ):  # it counts no oneDNN product
        run()
    return counter.get_total_flops()


def _resident(field: str) -> int:
    return 1024 * int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
