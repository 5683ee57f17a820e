"""Where everything of a data set lies, relative to the folder that holds params.yaml and
dvc.yaml.
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.code import code_digest
from pipeline.storage.manifest import Manifest, read_manifest

PARAMS = Path("params.yaml")
PRESETS = Path("params") / "presets"
STUDY = Path("params") / "study"
REPORTS = Path("reports")
CODEC_FILE = "codec.safetensors"
MODEL_FILE = "model.safetensors"
FURTHER_FILE = "further_captions.h5"
LADDER_FILE = "ladder.h5"


@dataclass(frozen=True)
class Paths:
    """The files and folders of one data set: DVC's, except for the metrics."""

    dataset: str

    @property
    def settings(self) -> Path:
        """What decides the data set's results."""
        return Path("params") / f"{self.dataset}.yaml"

    @property
    def root(self) -> Path:
        """The data set's folder."""
        return Path("data") / self.dataset

    @property
    def raw(self) -> Path:
        """manifest.csv, and the media of embedded data sets."""
        return self.root / "raw"

    @property
    def conditions(self) -> Path:
        """What the model is conditioned on."""
        return self.root / "conditions.h5"

    @property
    def extractor(self) -> Path:
        """The networks that extracted the conditions."""
        return self.root / "extractor"

    @property
    def codec(self) -> Path:
        """The VQ-VAE or VQ-GAN."""
        return self.root / "codec"

    @property
    def tokens(self) -> Path:
        """The content as codes."""
        return self.root / "tokens.h5"

    @property
    def negatives(self) -> Path:
        """Intra and inter negatives of the training rows."""
        return self.root / "negatives.h5"

    @property
    def judge(self) -> Path:
        """The networks or embeddings that judge samples."""
        return self.root / "judge"

    @property
    def model(self) -> Path:
        """The denoiser with its condition encoders, and the history of its training."""
        return self.root / "model"

    @property
    def samples(self) -> Path:
        """samples.h5 and the media made from it."""
        return self.root / "samples"

    @property
    def metrics(self) -> Path:
        """Figures as JSON and tables; these are git's."""
        return REPORTS / "metrics" / self.dataset

    @property
    def examples(self) -> Path:
        """Media and curves that the report shows."""
        return REPORTS / "examples" / self.dataset

    def manifest(self, media_root: str | None) -> Manifest:
        """The data set's table, its media under `media_root` where the data set names one."""
        return read_manifest(self.raw / "manifest.csv", Path(media_root) if media_root else None)


def code(*packages: str) -> list[str]:
    """The digest of what the named packages of `pipeline` do, for fingerprints: unfinished work of
    other code is not resumed; comments and docstrings do not count.
    """
    return [code_digest(*packages)]
