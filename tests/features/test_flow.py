"""Flow is measured by RAFT, for any size of picture, and reaches I3D in eight bits."""

import pytest
import torch
from torch import nn
from torchvision.models.optical_flow import raft_large

from pipeline.features.flow import flow_input, load_raft, optical_flow
from pipeline.runtime.errors import UserError


def test_input_is_cut_rounded_and_scaled():
    flow = torch.tensor([-100.0, -20.0, -0.01, 0.0, 0.1, 5.0, 20.0, 100.0])
    eight_bits = torch.tensor(
        [round(128 + 255 / 40 * max(-20.0, min(20.0, value))) for value in flow.tolist()]
    )
    torch.testing.assert_close(flow_input(flow), 2 * eight_bits / 255 - 1)


class Recorder(nn.Module):
    """Stands in for RAFT: the flow is the difference of the first two channels."""

    def forward(self, first, second, num_flow_updates):
        assert num_flow_updates == 20
        assert min(first.shape[-2:]) >= 128
        assert not any(side % 8 for side in first.shape[-2:])
        return [None, (second - first)[:, :2]]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 200), (131, 250)])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_every_pair_once_and_only_the_picture_itself(height, width, batch_size):
    frames = torch.rand(8, 3, height, width, generator=torch.Generator().manual_seed(0))
    flow = optical_flow(Recorder(), frames, batch_size)
    torch.testing.assert_close(flow, (frames[1:] - frames[:-1])[:, :2])


def test_weights_come_from_a_file_of_torchvisions_layout(tmp_path):
    torch.manual_seed(0)
    network = raft_large(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "raft.pth")
    loaded = load_raft(tmp_path / "raft.pth")
    assert all(
        torch.equal(loaded.state_dict()[name], value)
        for name, value in network.state_dict().items()
    )
    torch.save({"fnet.conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="other.pth is not torchvision's RAFT-large"):
        load_raft(tmp_path / "other.pth")
