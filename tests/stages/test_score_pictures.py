"""`score` for pictures beside captions or classes, without a data set, and `cdcd.score` in Python:
the figures of the evaluation, the documented layouts, one sentence for each mistake.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

import cdcd
from pipeline.datasets.captions import captions_of
from pipeline.datasets.scenes import Scene, Thing, captions, draw
from pipeline.metrics import published_judge
from pipeline.metrics.results import read_results
from pipeline.runtime.errors import UserError
from pipeline.storage.weights import entry
from stages.paths import Paths
from tests.helpers.house import run


def evaluated(dataset, row):
    """The lines of a row of the report, by what they measure."""
    table = read_results(Paths(dataset).metrics / "table.csv")
    return {(one.metric, one.protocol): one for one in table if one.row == row}


def same(found, expected):
    """Whether two lines agree in all that a table shows, six digits."""
    numbers = ("mean", "std", "low", "high", "n_clips", "n_seeds")
    return all(
        f"{getattr(found, name):.6g}" == f"{getattr(expected, name):.6g}" for name in numbers
    )


def copied(dataset, folder):
    """The real test pictures of a data set in a folder, and what each was made for."""
    manifest = Paths(dataset).manifest(None)
    clips = [manifest.clips[number] for number in manifest.of("test")]
    folder.mkdir()
    for clip in clips:
        shutil.copy(manifest.file(clip), folder / f"{clip.id}.png")
    return clips


def test_real_scans_beside_their_classes_get_the_ground_truth_row(inside, tmp_path):
    clips = copied("digits", tmp_path / "real")
    lines = [f"{clip.id}.png,{clip.label}" for clip in clips]
    (tmp_path / "classes.csv").write_text("\n".join(["id,class", *lines]))
    scores = cdcd.score(
        tmp_path / "real",
        references=tmp_path / "real",
        classes=tmp_path / "classes.csv",
        judge=Paths("digits").judge,
        draws=20,
    )
    expected = {
        key: line for key, line in evaluated("digits", "ground_truth").items() if key[0] != "fid"
    }
    assert expected
    for row in ("real", "ground_truth"):
        found = scores.row(row)
        assert all(same(found[key], line) for key, line in expected.items())
    assert scores.row("real")["fid", "judge, test"].mean == pytest.approx(0, abs=1e-6)
    assert scores.row("mean_image")["fid", "judge, test"].mean > 1
    assert scores.row("shuffled_pairs")
    assert not scores.mistakes


def test_python_and_the_command_give_the_same_table_of_a_data_set(inside, tmp_path):
    clips = copied("toy_shapes", tmp_path / "real")
    raw = Paths("toy_shapes").raw
    for clip in clips:
        (tmp_path / "real" / f"{clip.id}.txt").write_text(captions_of(clip, raw)[0] + "\n")
    scores = cdcd.score(tmp_path / "real", data="toy_shapes")
    run("score", str(tmp_path / "real"), "--data", "toy_shapes", "--out", str(tmp_path / "out"))
    assert scores.save(tmp_path / "again") == tmp_path / "again"
    for file in ("table.csv", "clips.csv", "README.md", "index.html", "remarks.json"):
        made = (tmp_path / "again" / file).read_bytes()
        assert made == (tmp_path / "out" / file).read_bytes()
    assert scores.rows[:2] == ["real", "ground_truth"]
    assert scores.markdown() in scores._repr_markdown_()
    beside = cdcd.score(
        tmp_path / "real", captions=tmp_path / "real", judge=Paths("toy_shapes").judge
    )
    for key, line in scores.row("ground_truth").items():
        if key[0] != "fid":
            assert beside.row("real")[key].mean == line.mean


SCENES = [
    Scene(Thing("small", "red", "circle"), Thing("large", "blue", "square"), "x"),
    Scene(Thing("large", "green", "triangle"), Thing("small", "yellow", "circle"), "y"),
    Scene(Thing("small", "purple", "square"), Thing("large", "red", "circle"), "x"),
]


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """Twelve drawn scenes: NAME.png beside NAME.txt, a table of the same captions, no weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDCD_HOME", str(tmp_path / "home"))
    lines = []
    for number in range(12):
        scene = SCENES[number % 3]
        pixels = draw(scene, 32, np.random.default_rng(number))
        save(tmp_path / "drawn" / f"p{number:02}.png", pixels)
        told = captions(scene)[0]
        (tmp_path / "drawn" / f"p{number:02}.txt").write_text(told)
        lines.append(json.dumps({"file": f"p{number:02}.png", "caption": [told, "another one"]}))
    (tmp_path / "captions.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_scenes_are_read_exactly_without_any_weights(scenes):
    scores = cdcd.score("drawn", captions="drawn")
    found = scores.row("drawn")["all_correct", "exact"]
    assert (found.mean, found.n_clips) == (100, 12)
    assert scores.row("drawn, shuffled")["all_correct", "exact"].mean == 0
    assert any("cdcd weights get clip" in note for note in scores.notes)
    told = run("score", "drawn", "--captions", "captions.jsonl")
    assert "All correct" in told
    assert "pictures / seeds" in told


def test_variants_other_sizes_and_folders_side_by_side(scenes):
    for number in range(12):
        for seed in (0, 1):
            pixels = np.asarray(Image.open(f"drawn/p{number:02}.png").resize((64, 48)))
            save(Path(f"theirs/p{number:02}_seed{seed}.png"), pixels)
    save(Path("theirs/p99_seed0.png"), pixels)
    scores = cdcd.score("theirs", captions="captions.jsonl", against=["drawn"])
    found = scores.row("theirs")["attributes", "exact"]
    assert (found.n_clips, found.n_seeds) == (12, 2)
    assert scores.row("drawn")
    assert any("are not 48 pixels wide and high" in note for note in scores.notes)
    assert ["p99_seed0" in mistake for mistake in scores.mistakes] == [True]


def test_references_alone_are_judged_by_inception_at_home(scenes, monkeypatch):
    weights = entry("inception_fid")
    weights.path.parent.mkdir(parents=True)
    weights.path.write_bytes(b"weights")
    weights.record.write_text(json.dumps({"stored_size": 7}))
    corner = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())  # in the place of 22 million parameters
    monkeypatch.setitem(published_judge._LOADERS, "inception", lambda path: corner)
    scores = cdcd.score("drawn", references="drawn", size=32)
    assert scores.row("drawn")["fid", "inception, test"].mean == pytest.approx(0, abs=1e-6)
    assert scores.row("mean_image")["fid", "inception, test"].mean > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("drawn --captions nowhere.csv", "nowhere.csv does not exist"),
        ("drawn --captions drawn --classes drawn", "leave one out"),
        ("drawn --classes drawn", "p00, p01.* lie in no folder"),
        ("drawn --classes captions.jsonl", "no table with the columns id and class"),
        ("drawn --captions drawn --level", "these are pictures; leave out --level"),
        ("drawn --captions drawn --dances drawn", "leave out --dances"),
        ("drawn --data digits --captions drawn", "leave out --captions"),
        ("drawn --references drawn", "get inception_fid"),
        ("sorted --classes sorted", "'b' is none|'a' is none|can judge these pictures"),
        ("other --captions drawn", "no name matches"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(scenes, words, said):
    for name in ("a/1", "b/2", "b/3"):
        save(Path(f"sorted/{name}.png"), np.zeros((16, 16, 3), np.uint8))
    save(Path("other/x.png"), np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(UserError, match=said) as told:
        run("score", *words.split())
    assert "\n" not in str(told.value)
    assert not Path("scores").exists()
