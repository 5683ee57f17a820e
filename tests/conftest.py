"""One thread a test process: two processes with two threads each on two cores spend their time waiting for each other."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # also for the commands that tests start

import torch

torch.set_num_threads(1)
