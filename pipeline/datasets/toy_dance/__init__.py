"""`toy_dance`, the embedded dance data set: a jointed dancer who follows songs composed in ten
genres and played on sampled instruments, in real video files. Beside each clip lies its score.

The instruments are TimGM6mb.sf2, a General-MIDI sound font by Tim Brechbill under the GPL 2 that
comes with pretty_midi.
"""

from pipeline.datasets.toy_dance.dataset import ToyDance, check, plan, prepare
from pipeline.datasets.toy_dance.markers import read_markers

__all__ = ["ToyDance", "check", "plan", "prepare", "read_markers"]
