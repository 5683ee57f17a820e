"""Writes tests/shipped_conditions.npz anew, for a newly shipped dance model:

python -m tests.helpers.shipped_conditions     # after `studio` was built here
"""

import numpy as np

from pipeline.metrics.beats import onset_envelope, onset_times
from pipeline.storage.store import Store
from stages.config import read_dataset
from stages.content import open_content
from stages.paths import Paths
from tests.test_shipped import CONDITIONS, f1_of_clips

if __name__ == "__main__":
    settings, paths = read_dataset("studio"), Paths("studio")
    manifest, conditions = paths.manifest(None), Store(paths.conditions, "conditions")
    music, chosen = open_content(settings, manifest), manifest.of("test")[:2]
    rows = conditions.rows_of([manifest.clips[row].id for row in chosen])
    known = {name: conditions[name][rows] for name in ("motion", "visual")}
    for place, row in enumerate(chosen):
        sound = music.read([row])[0].numpy()
        times = onset_times(onset_envelope(sound, music.sample_rate), "5hz")
        known[f"onsets_{place}"] = times
    own, other = f1_of_clips(known)
    np.savez_compressed(CONDITIONS, **known, f1=own)
    print(f"{CONDITIONS}: F1 {own:.1f} under the own dance, {other:.1f} under the other's.")
