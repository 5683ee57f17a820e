"""The features of captions that no store holds, because they would fill a disk."""

from pipeline.features.text import clip_features
from pipeline.model.encoders.text import ClipTextCondition
from pipeline.model.network import Network
from pipeline.storage.store import Store
from stages.config import AnyDataset, CaptionToImage


def with_captions(network: Network, settings: AnyDataset, conditions: Store) -> Network:
    """The network, given CLIP's tower where it reads features that the conditions do not hold."""
    encoder = network.encoder
    if "clip_size" in conditions.provenance and isinstance(encoder, ClipTextCondition):
        assert isinstance(settings, CaptionToImage)
        assert settings.extract.weights is not None, "extraction saw to it"
        encoder.read = clip_features(settings.extract.weights, conditions)
    return network
