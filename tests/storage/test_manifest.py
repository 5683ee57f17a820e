import pytest

from pipeline.runtime.errors import UserError
from pipeline.storage.manifest import read_manifest

HEAD = "id,path,split,start_s\n"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("../../home,a.mp4,test,0\n", "cannot name a file"),
        ("/etc/x,a.mp4,test,0\n", "cannot name a file"),
        ("a,a.mp4,test,nan\n", "numbers of seconds"),
        ("a,a.mp4,test,-1\n", "numbers of seconds"),
        ("a,a.mp4,test,inf\n", "numbers of seconds"),
        ("a,a.mp4\n", "needs id, path and split"),
    ],
)
def test_what_would_lead_a_stage_astray_is_refused(tmp_path, line, complaint):
    (tmp_path / "manifest.csv").write_text(HEAD + line)
    with pytest.raises(UserError, match=complaint):
        read_manifest(tmp_path / "manifest.csv")


def test_a_folder_in_its_place_is_told(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        read_manifest(tmp_path)
