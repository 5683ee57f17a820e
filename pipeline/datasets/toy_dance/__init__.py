"""`toy_dance`, the embedded dance data set: synthetic songs and a jointed dancer who follows them,
in real video files.
"""

from pipeline.datasets.toy_dance.dataset import ToyDance, check, plan, prepare
from pipeline.datasets.toy_dance.markers import read_markers

__all__ = ["ToyDance", "check", "plan", "prepare", "read_markers"]
