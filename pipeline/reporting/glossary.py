"""The words of the report: how rows and metrics are called, what is better, and what a reader must
know; those of protocols are in `pipeline.reporting.protocols`.
"""

from dataclasses import dataclass

ROWS = {
    "ground_truth": "Ground truth",
    "reconstruction": "Ground truth through the codec",
    "model": "Model",
    "model_shuffled": "Model, shuffled conditions",
    "shuffled_pairs": "Another item's ground truth",
    "nearest_neighbour": "Nearest training item",
    "model_best_lag": "Model, all moved by the best constant lag",
    "metronome": "Metronome",
    "silence": "Silence",
    "noise": "Noise",
    "mean_image": "Mean image",
    "random_label": "Random label",
}


@dataclass(frozen=True)
class Metric:
    """A column's heading, its unit, digits, whether more is better (None: neither), and one line of
    explanation.
    """

    title: str
    digits: int
    more_is_better: bool | None
    meaning: str


METRICS = {
    "beats_coverage": Metric(
        "Beats coverage", 1, None, "bins with an onset, generated against reference, %"
    ),
    "beats_hit": Metric("Beats hit", 1, True, "reference bins that the generated music hits, %"),
    "beats_f1": Metric(
        "F1", 1, True, "harmonic mean of the mean precision and the mean recall of bins, %"
    ),
    "beats_coverage_sd": Metric("CSD", 1, False, "standard deviation of coverage over clips"),
    "beats_hit_sd": Metric("HSD", 1, False, "standard deviation of hit over clips"),
    "onset_f": Metric("Onset F", 1, True, "mir_eval onset F-measure within 70 ms, %"),
    "beat_f": Metric("Beat F", 1, True, "mir_eval beat F-measure within 70 ms, %"),
    "alignment": Metric(
        "Fits the dance", 1, True, "onsets against accents of the motion, both ways, sigma 50 ms, %"
    ),
    "fit_own": Metric("Fit to the own dance", 1, True, "as `fits the dance`, %"),
    "fit_others": Metric(
        "Fit of others' music",
        1,
        None,
        "mean fit of the music of other songs' clips to the same dance, %",
    ),
    "fit_gain": Metric(
        "Own − others", 1, True, "the difference, paired by clip: 0 for what ignores the dance"
    ),
    "mel_distance": Metric(
        "Mel distance",
        2,
        False,
        "mean |dB| between 64-band mel spectrograms, 60 dB deep: 0 the same, some 11 another song",
    ),
    "spectral_convergence": Metric(
        "Spectral convergence",
        3,
        False,
        "norm of the difference of magnitudes over the true music's: 0 the same, 1 silence",
    ),
    "chroma_similarity": Metric(
        "Chroma similarity",
        3,
        True,
        "mean cosine of pitch classes frame by frame: 1 the same, about 0.64 another song",
    ),
    "flatness": Metric(
        "Flatness",
        1,
        None,
        "log-spectral flatness in dB: -2.5 is white noise; above the true music's is hiss",
    ),
    "loudness": Metric("Loudness", 1, None, "integrated, LUFS (BS.1770-4, mono)"),
    "triad_share": Metric(
        "Triads",
        1,
        None,
        "how clear chords are: % of the power in the best triad; pure tones 72, noise 26",
    ),
    "key_agreement": Metric(
        "Key",
        1,
        True,
        "mir_eval's weighted key score of the key heard, %; no dance tells the key of its song",
    ),
    "chord_agreement": Metric(
        "Chords",
        1,
        True,
        "% of the time in the score's major or minor triad (mir_eval majmin); no dance tells them",
    ),
    "note_onset_f": Metric(
        "Note onsets F", 1, True, "F-measure of onsets against all notes of the score, 50 ms, %"
    ),
    "kick_f": Metric("Kick F", 1, True, "the same of low strokes against kicks, %"),
    "snare_f": Metric("Snare F", 1, True, "of strokes at 2 to 8 kHz against snares, %"),
    "hat_f": Metric("Hat F", 1, True, "of strokes above 8.5 kHz against hi-hats, %"),
    "beat_truth_f": Metric(
        "Beats F", 1, True, "tracked beats against the score's, mir_eval within 70 ms, %"
    ),
    "downbeat_truth_f": Metric(
        "Downbeats F",
        1,
        True,
        "every n-th tracked beat, the phase with the most bass, against the score's, 70 ms, %",
    ),
    "tempo_difference": Metric(
        "Tempo difference", 1, False, "beats per minute from the true music"
    ),
    "genre_accuracy": Metric(
        "Genre accuracy",
        1,
        True,
        "nearest neighbour among codec reconstructions of training music, %",
    ),
    "kad": Metric("KAD", 2, False, "kernel audio distance to the true music, unbiased"),
    "fad": Metric(
        "FAD", 2, False, "Frechet audio distance to the true music; biased for few clips"
    ),
    "copy_distance": Metric(
        "Distance to training",
        1,
        None,
        "% of token positions that differ from the nearest training item",
    ),
    "copied": Metric(
        "Copied", 1, False, "% of samples closer to a training item than the stated bound"
    ),
    "adherence": Metric(
        "Adherence",
        3,
        None,
        "how much likelier its condition makes an item's true content, log p(x_0 | c) - log p(x_0 |"
        " null), nats a token",
    ),
    "adherence_t25": Metric("t ≤ T/4", 3, None, ""),
    "adherence_t50": Metric("t ≤ T/2", 3, None, ""),
    "adherence_t75": Metric("t ≤ 3T/4", 3, None, ""),
    "adherence_t100": Metric(
        "t ≤ T", 3, None, "the same at the masks of the most noised quarter of steps"
    ),
    "mos_coherence": Metric(
        "MOS coherence", 2, True, "listeners, 1 to 5: does the music go with the video"
    ),
    "mos_quality": Metric("MOS quality", 2, True, "listeners, 1 to 5: sound quality alone"),
    "attributes": Metric(
        "Attributes", 1, True, "% of described things that are there in size, colour and shape"
    ),
    "relation": Metric(
        "Relation", 1, True, "% of pictures whose two things stand to each other as described"
    ),
    "all_correct": Metric(
        "All correct",
        1,
        True,
        "% of pictures with both things, standing as described, and nothing besides",
    ),
    "fid": Metric(
        "FID",
        2,
        False,
        "Frechet distance between features of two sets of pictures; too high for few pictures",
    ),
    "clip_score": Metric(
        "CLIPScore",
        2,
        True,
        '250 max(cosine, 0) of a picture and "A photo depicts" with its caption',
    ),
    "r_precision": Metric(
        "R-precision",
        1,
        True,
        "% of pictures nearer to their own caption than to those of other pictures",
    ),
    "top1_accuracy": Metric(
        "Top-1 accuracy", 1, True, "% of pictures the classifier puts in their class"
    ),
    "top5_accuracy": Metric(
        "Top-5 accuracy", 1, True, "% of pictures whose class is among the classifier's five best"
    ),
    "parameters_million": Metric("Parameters (M)", 0, None, "trainable numbers, millions"),
    "v100_days": Metric("V100 days", 0, False, "cost of training"),
    "steps_vanilla": Metric("Steps, vanilla", 0, False, "diffusion steps"),
    "steps_contrastive": Metric("Steps, contrastive", 0, False, "diffusion steps"),
}


def row_title(row: str) -> str:
    """The name of a row as readers see it."""
    return ROWS.get(row, row.replace("_", " "))


def metric(name: str) -> Metric:
    """What is known of a metric; an unknown one is shown under its own name."""
    return METRICS.get(name, Metric(name.replace("_", " ").capitalize(), 2, None, ""))


def arrow(name: str) -> str:
    """Which way is better, for a heading."""
    return {True: " ↑", False: " ↓", None: ""}[metric(name).more_is_better]
