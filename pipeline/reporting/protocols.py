"""The words of the report for how a figure was measured: one or more protocols, as in
`inception, train`.
"""

PROTOCOLS = {
    "d2m": (
        "protocol d2m (the paper's): one-second bins, two for a 2 s clip, so that a metronome"
        " scores near 100"
    ),
    "loris": (
        "protocol loris: one-second bins, coverage is precision and hit is recall; saturates as d2m"
        " does"
    ),
    "5hz": "protocol 5hz: bins of 0.2 s, coverage is precision and hit is recall",
    "70ms": "mir_eval within 70 ms",
    "own_vs_others": (
        "whether the music follows its own dance: intervals are paired by clip; a metronome gains 0"
    ),
    "music": "the sound beside the true music, over the codec's whole band",
    "midi": (
        "what simple estimators hear, against the score that the true music was played from; the"
        " ground truth's row is what they can reach"
    ),
    "validation": (
        "the true content of validation items, noised: no sample is drawn; 0 is a condition that is"
        " ignored, below 0 one that misleads"
    ),
    "published": "the authors' own protocol",
    "later": "other protocols, for orientation only",
    "exact": "read off each picture by its colours and outlines, without a network",
    "judge": (
        "judged by a small network trained here on real training pictures (see above), so of use"
        " within this report alone"
    ),
    "inception": (
        "through the published FID Inception of 2015-12-05, pictures resized as torchmetrics does"
    ),
    "mfcc": (
        "mfcc: on the means and deviations of 20 MFCCs, so timbre and its movement, not melody; no"
        " network trained on music stands behind it"
    ),
    "musicnn": "musicnn: on the penultimate layer of a network that was trained to tag music",
    "yamnet": "yamnet: on AudioSet's YAMNet, which knows sounds of all kinds",
    "vit_b32": "judged by CLIP ViT-B/32",
    "resnet101": "judged by torchvision's ResNet-101 (IMAGENET1K_V1)",
    "test": (
        "to test: compared with the real test pictures, those of the samples' own captions or"
        " classes"
    ),
    "val": "to validation: compared with the real validation pictures",
    "train": "to train: compared with all real training pictures",
}


# Short names of what measured a column, for headings; a distance between sets is measured to one
# split's pictures.
MEASURED_BY = {
    "judge": "judge trained here",
    "inception": "Inception",
    "vit_b32": "CLIP ViT-B/32",
    "resnet101": "ResNet-101",
    "test": "to test",
    "val": "to validation",
    "train": "to train",
}


def measured_by(protocol: str) -> str:
    """The short name of a protocol such as `inception, train`; an unknown one is its own name."""
    return ", ".join(MEASURED_BY.get(part, part) for part in protocol.split(", "))


def protocol_meanings(protocols: list[str]) -> list[str]:
    """What the parts of protocols such as `inception, train` mean, each once; unknown parts are
    left out.
    """
    parts = dict.fromkeys(part for protocol in protocols for part in protocol.split(", "))
    return [PROTOCOLS[part] for part in parts if part in PROTOCOLS]
