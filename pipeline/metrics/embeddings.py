"""Fixed-length descriptions of a clip of sound: MFCC statistics by default, the AudioSet networks
YAMNet and VGGish, or the tagger of music musicnn.

Each is a callable: audio [T] in [-1, 1] at the given sample rate -> float32 vector [D].
"""

import warnings
from pathlib import Path
from typing import Literal

import librosa
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import nn

from pipeline.metrics.musicnn import Musicnn
from pipeline.runtime.errors import UserError
from pipeline.storage.tensors import read_state_dict

EmbeddingName = Literal["mfcc", "yamnet", "vggish", "musicnn"]
NETWORK_RATE = 16000


class MfccStatistics:
    """Means and deviations of 20 MFCCs at 22,050 Hz, and the deviations of their changes. D =
    60.
    """

    sample_rate, n_mfcc = 22050, 20

    def __call__(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """The statistics of a clip [T]: timbre and its movement, whatever the order of events."""
        audio = _resampled(audio, sample_rate, self.sample_rate, at_least=2048)
        mfcc = librosa.feature.mfcc(
            y=audio, sr=self.sample_rate, n_mfcc=self.n_mfcc, n_fft=1024, hop_length=256, n_mels=64
        )
        change = np.diff(mfcc, axis=1)
        return np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1), change.std(axis=1)]).astype(
            np.float32
        )


class Yamnet:
    """The mean of YAMNet's 1024 pooled features over half-overlapping windows of 0.975 s, from a
    .tflite file.
    """

    window = 15600

    def __init__(self, weights: Path):
        self.weights, self.interpreter = weights, _interpreter(weights)
        pooled = [
            t["index"]
            for t in self.interpreter.get_tensor_details()
            if t["shape"].tolist() == [1, 1024]
        ]
        inputs = self.interpreter.get_input_details()
        if len(pooled) != 1 or inputs[0]["shape"].tolist() != [self.window]:
            raise UserError(
                f"{weights} is not YAMNet: expected an input of {self.window} samples and one"
                " tensor of 1 x 1024."
            )
        self.input, self.pooled = inputs[0]["index"], pooled[0]
        self.interpreter.allocate_tensors()

    def __reduce__(self) -> tuple:
        return Yamnet, (self.weights,)  # another process opens the file itself

    def __call__(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """The mean embedding of a clip [T]; shorter ones are padded with silence to one window."""
        audio = _resampled(audio, sample_rate, NETWORK_RATE, at_least=self.window)
        frames = librosa.util.frame(
            audio, frame_length=self.window, hop_length=self.window // 2, axis=0
        )
        return np.mean([self._embed(frame) for frame in frames], axis=0)

    def _embed(self, frame: np.ndarray) -> np.ndarray:
        self.interpreter.set_tensor(self.input, np.ascontiguousarray(frame, dtype=np.float32))
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.pooled)[0].copy()


class Vggish(nn.Module):
    """The mean of VGGish's 128 features over windows of 0.96 s, without its PCA; weights in
    torchvggish's layout.
    """

    widths = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")

    def __init__(self, weights: Path):
        super().__init__()
        layers, width = [], 1
        for item in self.widths:
            if item == "pool":
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(width, item, 3, padding=1), nn.ReLU()]
                width = item
        self.features = nn.Sequential(*layers)
        widths = (512 * 4 * 6, 4096, 4096, 128)
        self.embeddings = nn.Sequential(
            *(f for a, b in zip(widths, widths[1:]) for f in (nn.Linear(a, b), nn.ReLU()))
        )
        try:
            self.load_state_dict(read_state_dict(weights))
        except Exception as error:
            raise UserError(
                f"{weights} does not hold VGGish in torchvggish's layout:"
                f" {str(error).splitlines()[0]}"
            ) from None
        self.eval()

    @torch.inference_mode()
    def __call__(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """The mean embedding of a clip [T]; shorter ones are padded with silence to one window."""
        examples = torch.from_numpy(
            vggish_examples(_resampled(audio, sample_rate, NETWORK_RATE, at_least=15600))
        )
        hidden = self.features(examples[:, None])
        return self.embeddings(hidden.permute(0, 2, 3, 1).flatten(1)).mean(dim=0).numpy()


def vggish_examples(audio: np.ndarray) -> np.ndarray:
    """Log-mel examples [n, 96, 64] of audio [T] at 16 kHz: windows of 25 ms every 10 ms, 64 HTK mel
    bands of 125-7500 Hz.
    """
    frames = librosa.util.frame(audio, frame_length=400, hop_length=160, axis=0)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    spectrum = np.abs(np.fft.rfft(frames * hann, 512))
    bank = librosa.filters.mel(
        sr=NETWORK_RATE, n_fft=512, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None
    )
    mel = np.log(spectrum @ bank.T + 0.01).astype(np.float32)
    return mel[: len(mel) // 96 * 96].reshape(-1, 96, 64)


def load_embedding(
    name: EmbeddingName, weights: Path | None = None
) -> MfccStatistics | Yamnet | Vggish | Musicnn:
    """The embedding called `name`; raises UserError when it needs `weights` and they are not
    there.
    """
    if name == "mfcc":
        return MfccStatistics()
    kind = "folder" if name == "musicnn" else "file"
    if weights is None or not getattr(Path(weights), "is_dir" if kind == "folder" else "is_file")():
        raise UserError(
            f"The embedding {name!r} needs its weights, and {weights} is not a {kind}; give their"
            " path, or use 'mfcc'."
        )
    if name == "musicnn":
        return Musicnn(weights)
    return Yamnet(weights) if name == "yamnet" else Vggish(weights)


def _interpreter(weights: Path) -> Interpreter:
    """An interpreter that keeps inner tensors readable (the embedding is not among the network's
    outputs).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Interpreter(str(weights), num_threads=1, experimental_preserve_all_tensors=True)
    except (ValueError, RuntimeError):
        raise UserError(f"{weights} is not a readable .tflite file; fetch it again.") from None


def _resampled(audio: np.ndarray, sample_rate: int, wanted: int, at_least: int) -> np.ndarray:
    audio = np.asarray(audio, dtype=np.float32).reshape(-1)
    if sample_rate != wanted:
        audio = librosa.resample(audio, orig_sr=sample_rate, target_sr=wanted)
    return np.pad(audio, (0, max(0, at_least - len(audio))))
