"""The report: tables that never mix protocols, published rows marked as such, a page that needs
nothing else and renders.
"""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from PIL import Image

from pipeline.metrics.results import Evaluation, Result, write_evaluation
from pipeline.reporting.facts import facts
from pipeline.reporting.page import data_uri, write_page
from pipeline.reporting.published import published
from pipeline.reporting.report import read_section, read_sections, write_tables_and_figures
from pipeline.reporting.tables import blocks, cell, heading, legend, markdown
from pipeline.runtime.errors import UserError
from pipeline.runtime.files import read_json, write_json

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)


def result(row, metric, protocol, mean, **changes):
    values = {
        "std": 0.5,
        "low": mean - 1,
        "high": mean + 1,
        "n_clips": 8,
        "n_songs": 4,
        "n_seeds": 3,
    } | changes
    return Result(row, metric, protocol, mean, **values)


PICTURES = [
    result("model", "attributes", "exact", 40.0),
    result("model", "relation", "exact", 30.0),
    result("model", "all_correct", "exact", 20.0),
    result("model", "r_precision", "judge", 71.0),
    result("model", "fid", "judge, train", 31.5),
    result("model", "fid", "judge, test", 21.5),
    result("model", "copied", "tokens", 0.0),
]


@pytest.fixture(scope="module")
def report(evaluated):
    """The reports folder after `report` over the dance data set and a small picture data set."""
    _, reports = evaluated
    judge = {
        "config": {"kind": "trained", "reads": "captions"},
        "trained_on": 40,
        "held_out": {"test": {"r_precision": 80.0}},
    }
    judge["held_out"]["test"]["pictures"] = 8
    remarks = {
        "contrast": "vanilla",
        "n_pictures": 8,
        "judge": judge,
        "fid_references": {"test": 8, "train": 40},
    }
    write_evaluation(Evaluation(PICTURES, [], remarks), reports / "metrics" / "shapes")
    folder = reports / "examples" / "shapes"
    folder.mkdir(parents=True)
    Image.new("RGB", (16, 16), "red").save(folder / "a.png")
    caption = "a <b>red</b> square"
    item = {
        "id": "a",
        "caption": caption,
        "images": [{"row": "model", "image": "a.png", "caption": caption}],
    }
    (folder / "examples.json").write_text(json.dumps({"task": "image", "items": [item]}))
    places = [reports / name for name in ("metrics", "examples", "mos")]
    sections = [read_section(name, *places) for name in ("toy", "shapes")]
    write_tables_and_figures(sections, reports)
    write_page(sections, reports)
    return reports


def test_no_table_holds_two_beat_protocols(evaluated):
    for block in blocks(evaluated[0].results):
        beats = {protocol for metric, protocol in block.columns if metric.startswith("beats")}
        assert len(beats) <= 1
        assert set(block.columns) == {
            (r.metric, r.protocol) for _, cells in block.rows for r in cells.values()
        }


def test_every_result_stands_in_a_table(evaluated):
    shown = {
        (row, *column)
        for block in blocks(evaluated[0].results)
        for row, cells in block.rows
        for column in cells
    }
    measured = {(r.row, r.metric, r.protocol) for r in evaluated[0].results if r.mean == r.mean}
    assert shown == measured


def test_picture_metrics_stand_together_in_words(report):
    found = blocks(PICTURES)
    assert [(block.name, [name for name, _ in block.columns]) for block in found] == [
        ("exact", ["attributes", "relation", "all_correct"]),
        ("correspondence", ["r_precision"]),
        ("fid", ["fid", "fid"]),
        ("copying", ["copied"]),
    ]
    headings = [heading(column) for column in found[2].columns]
    assert headings == [
        "FID (judge trained here, to test) ↓",
        "FID (judge trained here, to train) ↓",
    ]
    assert all(legend(block).count(".") >= 1 and legend(block)[0].isupper() for block in found)
    assert "8 / 3 |" in markdown(found[0])
    assert "pictures / seeds" in markdown(found[0])
    text = (report / "README.md").read_text()
    assert (
        "image-text matcher trained here on 40 real training pictures; R-precision 80.0 % on 8 real"
        " test pictures" in text
    )
    assert (
        "8 pictures of each sampling seed with 8 real test pictures and, apart, with 40 real"
        " training pictures" in text
    )


def test_a_table_of_which_nothing_is_known_has_no_legend():
    (block,) = blocks([result("model", "warmth", "unheard of", 1.0)])
    assert legend(block) == ""


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        (
            {"config": {"kind": "trained", "reads": "labels"}, "trained_on": 9, "held_out": {}},
            "never tried on held-out ones",
        ),
        (
            {"config": {"kind": "published"}, "sha256": {"inception": "0123456789"}},
            "(published; sha256 01234567)",
        ),
    ],
)
def test_the_facts_name_the_judge(judge, words):
    remarks = {
        "judge": judge,
        "n_pictures": 3,
        "fid_references": {"train": 9},
        "clip_prefix": "A photo depicts",
    }
    stated = dict(facts(remarks))
    assert words in stated["judged by"]
    assert (
        stated["FID compares"] == "3 pictures of each sampling seed with 9 real training pictures"
    )
    assert '"A photo depicts"' in stated["CLIPScore"]


def test_unknown_metrics_get_a_table_of_their_protocol():
    found = blocks(
        [result("model", "warmth", "picture check", 40.0), result("model", "hue", "train", 3.0)]
    )
    assert [(block.name, block.columns) for block in found] == [
        ("picture_check", [("warmth", "picture check")]),
        ("train", [("hue", "train")]),
    ]


def test_a_cell_shows_only_what_is_known():
    nan = float("nan")
    assert cell(result("model", "beats_f1", "5hz", 50.0)) == "50.0 ± 0.5 [49.0, 51.0]"
    assert cell(result("model", "beats_f1", "5hz", 50.0, std=nan, low=nan, high=nan)) == "50.0"


def test_the_readme_states_settings_counts_and_controls(report):
    text = (report / "README.md").read_text()
    facts = (
        "contrast: sample_inter",
        "genre given to the model: no",
        "the weights behind them: i3d train",
        "test songs: 3",
    )
    for words in (*facts, "Metronome"):
        assert words in text
    assert "| **" not in text
    assert "Model, sample_inter, shuffled conditions" in text
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (report / link).exists()


def test_published_figures_stay_apart(report):
    assert "D2M-GAN" not in (report / "README.md").read_text()
    page = (report / "tables" / "published.md").read_text()
    assert page.count("Published, not measured here") == len(published())
    aist = next(block for block in published() if block.table == "Tables 1 and 6")
    assert aist.rows["CDCD step_intra"][:2] == [[93.9, 1.2], [90.7, 1.5]]
    assert aist.protocol == "d2m"
    for block in published():
        assert all(len(cells) == len(block.columns) for cells in block.rows.values())


def test_an_evaluated_real_data_set_shows_its_published_rows(report):
    write_evaluation(
        Evaluation([result("model", "beats_hit", "d2m", 70.0)], [], {}), report / "metrics" / "aist"
    )
    out = report / "again"
    section = read_section("aist", report / "metrics", report / "examples", report / "mos")
    write_tables_and_figures([section], out)
    text = (out / "README.md").read_text()
    assert (
        text.index("70.0 ± 0.5")
        < text.index("Published, not measured here")
        < text.index("CDCD step_intra")
    )


def test_a_data_set_without_results_is_one_sentence(report):
    with pytest.raises(UserError, match="cdcd evaluate nothing"):
        read_section("nothing", report / "metrics", report / "examples", report / "mos")


def test_figures_are_small_and_drawn(report):
    for path in (report / "figures").glob("*.png"):
        assert path.stat().st_size < 150_000
        assert len(set(Image.open(path).convert("RGB").resize((40, 40)).getdata())) > 5
    names = {path.name for path in (report / "figures").glob("*.png")}
    assert {
        "toy_controls.png",
        "toy_examples.png",
        "toy_model.png",
        "shapes_controls.png",
        "shapes_examples.png",
    } <= names


def test_the_report_repeats_exactly(report):
    before = {
        path: path.read_bytes()
        for path in [report / "README.md", *(report / "figures").glob("toy_*.png")]
    }
    sections = [
        read_section(name, report / "metrics", report / "examples", report / "mos")
        for name in ("toy", "shapes")
    ]
    write_tables_and_figures(sections, report)
    assert all(path.read_bytes() == content for path, content in before.items())


class Page(HTMLParser):
    """Collects tags, and everything that would be fetched from elsewhere."""

    def __init__(self):
        super().__init__()
        self.tags, self.sources, self.open = [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.sources += [attributes[key] for key in ("src", "href") if key in attributes]
        if tag not in ("meta", "img", "br", "link", "input", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_self_contained_and_accessible(report):
    page = Page()
    page.feed((report / "index.html").read_text())
    assert not page.open
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert dict(page.tags[0][1])["lang"] == "en"
    assert any(
        attributes.get("name") == "viewport" for tag, attributes in page.tags if tag == "meta"
    )
    for tag, attributes in page.tags:
        if tag == "img":
            assert attributes["alt"]
        if tag in ("audio", "video"):
            assert "controls" in attributes
            assert attributes["aria-label"]
    kinds = [tag for tag, _ in page.tags]
    assert kinds.count("video") == 2
    assert kinds.count("audio") == 2 * 5


def test_captions_are_escaped(report):
    text = (report / "index.html").read_text()
    assert "<b>red</b>" not in text
    assert "&lt;b&gt;red&lt;/b&gt;" in text


def test_only_media_go_into_a_page(tmp_path):
    (tmp_path / "x.exe").write_bytes(b"x")
    with pytest.raises(UserError, match="cannot be shown"):
        data_uri(tmp_path / "x.exe")
    with pytest.raises(UserError, match="does not exist"):
        data_uri(tmp_path / "x.png")


def chromium(url, *options, profile):
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ]
    command += [f"--user-data-dir={profile}", "--virtual-time-budget=4000", *options, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (apt-get install chromium)"
)
def test_the_page_loads_its_media_in_chromium(report, tmp_path):
    probe = """<script>addEventListener("load", () => setTimeout(() => {
      const media = [...document.querySelectorAll("audio, video")];
      document.title = JSON.stringify({
        ready: media.filter(m => m.readyState > 0 && m.duration > 1.5).length,
        failed: media.filter(m => m.error).length,
        pictures: [...document.images].filter(i => i.naturalWidth > 0).length,
        all: document.images.length,
        wide: document.documentElement.scrollWidth, window: innerWidth }); }, 2500));</script>"""
    copy = tmp_path / "page.html"
    copy.write_text((report / "index.html").read_text().replace("</body>", probe + "</body>"))
    shown = chromium(
        copy.as_uri(), "--dump-dom", "--window-size=500,900", profile=tmp_path / "profile"
    )
    title = re.search(r"<title>(\{.*?\})</title>", shown)
    assert title, "the page's script did not finish"
    seen = {key: int(value) for key, value in re.findall(r'"(\w+)":(\d+)', title[1])}
    assert (seen["ready"], seen["failed"]) == (12, 0)
    assert seen["pictures"] == seen["all"] > 10
    assert seen["wide"] <= seen["window"]


def test_markdown_has_a_line_for_each_row(evaluated):
    for block in blocks(evaluated[0].results):
        lines = markdown(block).strip().split("\n")
        assert len(lines) == 2 + len(block.rows)
        assert len({line.count("|") for line in lines}) == 1


def test_data_sets_of_earlier_runs_keep_their_tables_and_are_marked(report, tmp_path):
    """Building `datasets: [folder]` removed the tables and figures of all others."""
    shutil.copytree(report, tmp_path / "reports")
    home = tmp_path / "reports"
    folders = [home / name for name in ("metrics", "examples", "mos")]
    before = {file.name: file.read_bytes() for file in (home / "tables").glob("toy_*")}
    assert before
    for out in ("tables", "figures"):
        shutil.rmtree(home / out)  # as DVC does with the outputs of a stage before it runs
    sections = read_sections(["shapes"], *folders)
    assert [section.dataset for section in sections if section.listed] == ["shapes"]
    assert ("toy", False) in [(section.dataset, section.listed) for section in sections]
    write_tables_and_figures(sections, home)
    assert {file.name: file.read_bytes() for file in (home / "tables").glob("toy_*")} == before
    assert (home / "figures" / "toy_controls.png").exists()
    text = (home / "README.md").read_text()
    assert "## shapes\n" in text
    assert "## toy (not part of this run)" in text
    with pytest.raises(UserError, match="cdcd evaluate"):
        read_sections(["never"], *folders)


def test_a_thin_test_split_and_absent_examples_are_said_above_the_tables(report, tmp_path):
    folder = tmp_path / "reports"
    shutil.copytree(report, folder)
    for absent in (folder / "examples").iterdir():
        shutil.rmtree(absent)
    remarks = folder / "metrics" / "toy" / "remarks.json"
    write_json(remarks, {**read_json(remarks), "shows": "Six clips show little."})
    sections = read_sections([], folder / "metrics", folder / "examples", folder / "mos")
    write_tables_and_figures(sections, folder)
    part = (folder / "README.md").read_text().partition("## toy (not part of this run)")[2]
    head = part.partition("###")[0]
    assert "**Six clips show little.**" in head
    assert "examples and curves are not in this checkout" in head
