import pytest

from pipeline.reporting.examples import copy_curves
from pipeline.runtime.errors import DamagedFile
from pipeline.storage.curves import read_curves
from pipeline.training.history import write_history

HISTORY = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.5, "validation": 3.0}]


def test_curves_leave_out_what_is_no_number(tmp_path):
    (tmp_path / "h.csv").write_text("step,loss,empty\n1,2.0,\n2,1.5,\n3,nan,1\n")
    assert read_curves(tmp_path / "h.csv") == {"loss": [(1.0, 2.0), (2.0, 1.5)]}


def test_what_training_writes_is_read(tmp_path):
    write_history(tmp_path / "h.csv", HISTORY)
    assert read_curves(tmp_path / "h.csv") == {"loss": [(1.0, 2.0), (2.0, 1.5)]}
    write_history(tmp_path / "none.csv", [])
    assert read_curves(tmp_path / "none.csv") == {}


@pytest.mark.parametrize(
    "text",
    ["", "<html>\n", "step,loss\n1,2\n2,1", "step,loss\n1,2\n2\n", "step,loss\n1,x\n"]
    + ["loss,step\n1,2\n", "step,loss\n2,1\n1,1\n", "step,loss\n1,2,3\n", "step,loss\nnan,2\n"],
)
def test_a_broken_history_is_refused_before_it_is_shown(tmp_path, text):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(DamagedFile, match=r"history.csv.*dvc checkout"):
        copy_curves(tmp_path / "examples", model=tmp_path / "history.csv")
    assert not list((tmp_path / "examples" / "curves").iterdir())
