"""Threads: bounded before torch loads, the user's own settings first."""

import os
import subprocess
import sys

SHOW = """
import os, sys
import stages.__main__ as command
assert "torch" not in sys.modules
print(os.environ["GOMP_SPINCOUNT"], os.environ["OMP_NUM_THREADS"])
import torch
print(torch.get_num_threads())
"""


def shown(**own):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP_", "OMP_"))}
    command = [sys.executable, "-c", SHOW]
    found = subprocess.run(command, capture_output=True, text=True, env={**inherited, **own})
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


def test_every_command_bounds_spinning_and_threads_before_torch_loads():
    spin, asked, used = shown()
    assert (spin, used) == ("1000", asked)
    assert 1 <= int(asked) <= os.cpu_count()


def test_a_users_own_setting_wins():
    assert shown(GOMP_SPINCOUNT="7", OMP_NUM_THREADS="1") == ["7", "1", "1"]
