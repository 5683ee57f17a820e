"""The files of settings: one page each, one key for one thing, one sentence for what is wrong; and
how DVC sees them.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.runtime.device import device
from pipeline.runtime.errors import UserError
from stages.config import read_contrast, read_dataset
from tests.helpers.house import ROOT, read, small_params, write_params
from tests.helpers.run_file import write_run


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CDCD_DEVICE", raising=False)
    write_params(tmp_path, small_params())
    return tmp_path


def test_media_says_once_what_every_section_reads(place):
    dance, digits = read_dataset("toy_dance"), read_dataset("digits")
    assert dance.extract.pose.kind == dance.train.model.condition.pose == "coco17"
    assert dance.extract.pose.fps == dance.train.model.condition.fps == 20
    assert dance.codec.sample_rate == dance.codec.architecture.sample_rate == 22050
    assert digits.codec.image_size == digits.download.image_size == digits.judge.image_size == 16
    assert digits.codec.architecture.ddconfig.resolution == 16


def change(place, dataset, path, value):
    file = place / "params" / f"{dataset}.yaml"
    content = read(file)
    *names, last = path.split(".")
    section = content
    for name in names:
        section = section[name]
    section[last] = value
    YAML().dump(content, file)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("train.stepz", 3, "params/digits.yaml: train.stepz is not a known key"),
        (
            "train.epochs",
            3,
            "digits.yaml: train.steps and epochs: give exactly one of the two",
        ),
        ("train.contrast.cap", -1, "params/digits.yaml: train.contrast.cap is -1"),
        ("media.image_size", 7, "params/digits.yaml: media.image_size is 7"),
        ("media.image_size", "big", "params/digits.yaml: media.image_size is 'big'"),
        ("media.fps", 7, "params/digits.yaml: media.fps is not a known key"),
        ("codec.image_size", 16, "codec.image_size is what media.image_size says already"),
        ("contrast", "step_outer", "params/digits.yaml: contrast is 'step_outer'"),
        ("contrast", "preset", "params/digits.yaml: contrast is 'preset'"),
        ("task", "dance", "params/digits.yaml: task is 'dance'"),
        (
            "codec.objective",
            None,
            "codec.weights is null.*give architecture, objective",
        ),
    ],
)
def test_a_wrong_key_of_any_file_in_use_is_one_sentence(place, path, value, sentence):
    change(place, "digits", path, value)
    with pytest.raises(UserError, match=sentence) as told:
        read_dataset("toy_shapes")  # another one, whose own file is right
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_in_use_is_not_asked_for(place):
    write_params(place, {"datasets": ["digits"], "contrast": "preset"})
    (place / "params" / "toy_dance.yaml").unlink()
    assert read_dataset("digits").task == "class"
    with pytest.raises(UserError, match="params/toy_dance.yaml does not exist"):
        read_dataset("toy_dance")


def test_preset_leaves_the_contrast_to_each_data_set(place):
    change(place, "digits", "contrast", "step_inter")
    assert read_contrast("digits") == "step_inter"
    assert read_contrast("toy_shapes") == "vanilla"
    write_params(place, {"datasets": ["digits"], "contrast": "sample_intra"})
    assert read_contrast("digits") == "sample_intra"


def test_the_device_of_run_yaml_and_of_the_environment(place, monkeypatch):
    write_run(place / "home", device="meta")
    assert device().type == "meta"
    monkeypatch.setenv("CDCD_DEVICE", "cpu")
    assert device().type == "cpu"


PIPELINE = """
stages:
  one:
    matrix:
      dataset: ${datasets}
    cmd: python -c "from pipeline.runtime.run import run_settings as r; from stages.config import
      read_contrast as c, read_dataset as d; n = '${item.dataset}';
      open(n + '.txt', 'w').write(f'{r().log_every} {c(n)} {d(n).train.steps}')"
    params:
      - contrast
      - params/${item.dataset}.yaml:
          - train
    outs:
      - ${item.dataset}.txt:
          cache: false
"""


def git(*words):
    subprocess.run(["git", *words], check=True)


def dvc(*words):
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_queued_experiment_takes_values_and_sees_run_yaml(place, monkeypatch):
    """In a project whose stage writes down what it read: the interval of run.yaml, the contrast and
    the steps. The experiment runs in a copy elsewhere, which has no file that git does not track.
    """
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    (place / ".gitignore").write_text("home\n")
    write_params(place, {**small_params(), "datasets": ["digits"]})
    write_run(place / "home", log_every=77)
    (place / "dvc.yaml").write_text(PIPELINE)
    git("init", "-q")
    git("config", "user.name", "t")
    git("config", "user.email", "t@example.org")
    dvc("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "start")
    steps = "params/digits.yaml:train.steps=5"
    dvc("exp", "run", "--queue", "-n", "other", "-S", "contrast=vanilla", "-S", steps)
    write_run(place / "home", log_every=78)
    dvc("exp", "run", "--run-all")
    dvc("exp", "apply", "other")
    assert Path("digits.txt").read_text() == "78 vanilla 5"
