"""How far two sets of sound embeddings lie apart: kernel audio distance (KAD) and Frechet audio
distance (FAD).

KAD is unbiased at any sample size; FAD of a few hundred clips mostly measures how few they are.
Give both with their counts.
"""

import numpy as np

KAD_SCALE = 100.0


def kernel_audio_distance(
    reference: np.ndarray, generated: np.ndarray, bandwidth: float | None = None
) -> float:
    """100 x the unbiased squared MMD of `reference` [m, D] and `generated` [n, D] with a Gaussian
    kernel (Chung et al. 2025).

    The bandwidth is the median distance among the references unless given. It may come out slightly
    negative when the sets have the same distribution. NaN when either set has fewer than two
    members or the references are all alike.
    """
    from scipy.spatial.distance import cdist, pdist

    m, n = len(reference), len(generated)
    if min(m, n) < 2:
        return float("nan")
    bandwidth = bandwidth or float(np.median(pdist(reference)))
    if bandwidth <= 0:
        return float("nan")
    kernel = {
        name: np.exp(-cdist(a, b, "sqeuclidean") / (2 * bandwidth**2))
        for name, a, b in (
            ("rr", reference, reference),
            ("gg", generated, generated),
            ("rg", reference, generated),
        )
    }
    within = (kernel["rr"].sum() - m) / (m * (m - 1)) + (kernel["gg"].sum() - n) / (n * (n - 1))
    return float(KAD_SCALE * (within - 2 * kernel["rg"].mean()))


def frechet_audio_distance(reference: np.ndarray, generated: np.ndarray) -> float:
    """The Frechet distance of Gaussians fitted to `reference` [m, D] and `generated` [n, D]; NaN
    below two members.
    """
    if min(len(reference), len(generated)) < 2:
        return float("nan")
    covariance = [np.atleast_2d(np.cov(x, rowvar=False)) for x in (reference, generated)]
    mean = np.asarray(reference).mean(axis=0) - np.asarray(generated).mean(axis=0)
    cross = np.sqrt(np.linalg.eigvals(covariance[0] @ covariance[1]).real.clip(0)).sum()
    return float(mean @ mean + np.trace(covariance[0]) + np.trace(covariance[1]) - 2 * cross)
