"""A published checkpoint kept in the place of a trained model says the same, its genres in the data
set's order.
"""

import pytest
import torch

from pipeline.model.network import save_model
from pipeline.model.released import adopt, load_network, load_released
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import write_json
from tests.helpers.released_files import dance_checkpoint
from tests.model.test_network import network_of

GENRES = ("HO", "BR", "JB")


@pytest.fixture
def files(tmp_path):
    torch.save(dance_checkpoint("aist"), tmp_path / "aist.pth")
    write_json(tmp_path / "aist.yaml", {"heads": 4})
    return tmp_path / "aist.pth", tmp_path / "aist.yaml"


def test_it_answers_as_the_checkpoint_does(files, tmp_path):
    published = load_released(files[0], {"heads": 4})
    adopted = adopt(*files, {"codec": "theirs"}, tmp_path / "model.safetensors", GENRES)
    assert adopted.provenance == {"codec": "theirs"}
    inputs = {"motion": torch.randn(2, 12, 219), "visual": torch.randn(2, 24)}
    ours = adopted.encode(inputs | {"genre": torch.tensor([0, 2])}).value
    theirs = published.encode(inputs | {"genre": torch.tensor([5, 9])}).value
    torch.testing.assert_close(ours, theirs)
    sequence = inputs | {"visual": inputs["visual"][:, None].repeat(1, 3, 1)}
    again = adopted.encode(sequence | {"genre": torch.tensor([0, 2])}).value
    torch.testing.assert_close(again, theirs)


def test_a_genre_that_it_does_not_know_is_named(files, tmp_path):
    with pytest.raises(UserError, match="polka is none"):
        adopt(*files, {}, tmp_path / "model.safetensors", ("BR", "polka"))


def test_a_model_trained_here_is_read_as_before(tmp_path):
    network = network_of("class")
    save_model(network, tmp_path / "model.safetensors", {"mine": True})
    assert load_network(tmp_path / "model.safetensors").provenance == {"mine": True}
