"""Every number of every section has an end on both sides, and what lies beyond it, or does not go
with another number, is told by its whole key before a stage starts.
"""

import math
import re
from copy import deepcopy
from pathlib import Path

import pytest

import stages.config
from pipeline.runtime.errors import UserError
from pipeline.runtime.run import RunSettings, run_settings
from stages.config import SETTINGS, Params, read_settings
from stages.media_settings import GIVES
from tests.helpers.house import ROOT, read
from tests.helpers.run_file import write_run

FILES = [
    *(ROOT / "params").glob("*.yaml"),
    *(ROOT / "params" / "presets").glob("*/*.yaml"),
]
WRONG = (0, -1, -0.5, 1.5, 10**12, -(10**12), 1e300, math.nan, math.inf, -math.inf, True)
WRONG_KIND = ("3", "big", "", None, [], {}, [1, 2, 3, 4, 5, 6, 7], {"a": 1})
FILLED = {target for targets in GIVES.values() for target in targets}


def dataset_of(file: Path) -> str:
    return file.parent.name if "presets" in file.parts else file.stem


@pytest.mark.parametrize("file", FILES, ids=lambda file: "/".join(file.parts[-2:]))
def test_every_file_of_settings_keeps_the_rules(file):
    read_settings(dataset_of(file), file)


def numbers(schema, definitions, name):
    """(key, schema) of every number below a JSON schema, through references and alternatives."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    if schema.get("type") in ("integer", "number") and not {"enum", "const"} & set(schema):
        yield name, schema
    for key, inner in schema.get("properties", {}).items():
        yield from numbers(inner, definitions, f"{name}.{key}".lstrip("."))
    inner = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("prefixItems", ())]
    for part in [*inner, *([schema["items"]] if "items" in schema else [])]:
        yield from numbers(part, definitions, name)


ROOTS = {f"{name}/{task}": kind for name, of in SETTINGS.items() for task, kind in of.items()}


@pytest.mark.parametrize("name", [*ROOTS, "params.yaml", "run.yaml"])
def test_no_number_is_without_an_end(name):
    kind = {"params.yaml": Params, "run.yaml": RunSettings, **ROOTS}[name]
    schema = kind.model_json_schema()
    found = dict(numbers(schema, schema.get("$defs", {}), ""))
    assert name == "params.yaml" or len(found) >= 9
    for key, number in found.items():
        assert {"minimum", "exclusiveMinimum"} & set(number), f"{key} has no least value"
        assert {"maximum", "exclusiveMaximum"} & set(number), f"{key} has no greatest value"


def leaves(content, path=()):
    """The places of all numbers in nested settings; of a tuple, its first."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content[:1]):
        place = (*path, key)
        if isinstance(value, dict | list | tuple):
            yield from leaves(value, place)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield place


def with_value(content, place, value):
    content = deepcopy(content)
    section = content
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    return content


def complete(file):
    """The settings of a file with every default written out, but for what `media` says already."""
    content = read_settings(dataset_of(file), file).model_dump(mode="json")
    for target in FILLED:
        *path, last = target.split(".")
        section = content
        for key in path:
            section = section.get(key) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.pop(last, None)
    return content


def within(value, schema):
    """Whether a JSON schema of a number allows a value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return (
        (schema["type"] == "number" or isinstance(value, int))
        and value >= schema.get("minimum", -math.inf)
        and value > schema.get("exclusiveMinimum", -math.inf)
        and value <= schema.get("maximum", math.inf)
        and value < schema.get("exclusiveMaximum", math.inf)
        and value % schema.get("multipleOf", 1 if isinstance(value, int) else value or 1) == 0
    )


def nullable(schema, definitions, place):
    """Whether the key at a place may be null."""
    for key in place:
        if "$ref" in schema:
            schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
        choices = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]
        choices = [
            definitions[one["$ref"].rsplit("/", 1)[1]] if "$ref" in one else one for one in choices
        ]
        choices += [inner for one in choices for inner in one.get("oneOf", ())]
        choices = [
            definitions[one["$ref"].rsplit("/", 1)[1]] if "$ref" in one else one for one in choices
        ]
        schema = next(
            (one["properties"][key] for one in choices if key in one.get("properties", {})), {}
        )
    return {"type": "null"} in schema.get("anyOf", ())


def what_is_told(dataset, file):
    """The sentence that the settings of a file earn; None when they are right."""
    try:
        read_settings(dataset, file)
    except UserError as told:
        return str(told)
    return None


def words(sentence):
    """The keys in a sentence, those of `train.steps and epochs` too, and their sections."""
    found = set(re.findall(r"[a-z_0-9.]+[a-z_0-9]", sentence))
    return found | {key.rpartition(".")[0] for key in found}


CHOICES = {  # numbers of which only some are known
    *("media.clip_seconds", "download.year"),
    *("codec.architecture.ddconfig.in_channels", "codec.architecture.ddconfig.out_ch"),
}
REPRESENTED = ["toy_dance", "toy_shapes", "digits", "folder", "image_folder", "aist", "coco"]


@pytest.mark.parametrize("dataset", REPRESENTED)
def test_any_value_of_any_number_is_legal_or_told_by_its_key(dataset, monkeypatch):
    file = ROOT / "params" / f"{dataset}.yaml"
    content = complete(file)
    kind = SETTINGS[dataset][content["task"]]
    schema = kind.model_json_schema()
    bounds = {}
    for key, number in numbers(schema, schema["$defs"], ""):
        bounds.setdefault(key, []).append(number)
    places = list(leaves(content))
    assert len(places) > 30
    refused = 0
    for place in places:
        key = ".".join(part for part in place if isinstance(part, str))
        assert key in bounds or key in CHOICES, key
        for value in (*WRONG, *WRONG_KIND):
            changed = with_value(content, place, value)
            monkeypatch.setattr(stages.config, "read_yaml", lambda _, given=changed: given)
            legal = any(within(value, one) for one in bounds.get(key, ()))
            told = what_is_told(dataset, file)
            if told:
                refused += 1
                assert "\n" not in told
                assert told.startswith(f"{file}: ")
                section, _, last = key.rpartition(".")
                assert legal or key in told or {section, last} <= words(told), (key, value, told)
                assert len(told) < 600
            else:
                null = value is None and nullable(schema, schema["$defs"], place)
                empty = value in ([], {}) and len(place) > 1 and isinstance(place[-1], int)
                assert legal or null or empty, f"{key} = {value!r} passed"
    assert refused > 10 * len(places)


BETWEEN = [
    ("digits", "train.model.denoiser.heads", 5, "train.model.denoiser.heads is 5"),
    ("toy_shapes", "train.model.text.heads", 5, "train.model.text.heads is 5"),
    ("digits", "train.optimiser.warmup_steps", 1200, "train.optimiser.warmup_steps is 1200"),
    ("digits", "train.steps", 20, "train.optimiser.warmup_steps is 20, but train.steps is 20"),
    ("digits", "train.optimiser.warmup_from", 0.1, "train.optimiser.warmup_from is 0.1"),
    ("digits", "train.average.every", 1201, "train.average.every is 1201"),
    ("digits", "codec.training.steps", 50, "codec.training.warmup_steps is 50"),
    ("digits", "codec.training.learning_rate", 1e-5, "codec.training.final_learning_rate"),
    ("digits", "negatives.n_intra", 0, "negatives.n_intra is 0"),
    ("digits", "train.contrast.negatives_per_step", 5, "negatives_per_step is 5"),
    ("digits", "train.contrast.contrastive_steps", 41, "contrastive_steps is 41"),
    ("digits", "negatives.chunks", 15, "negatives.chunks is 15, which must be a square"),
    ("digits", "negatives.chunks", 9, "negatives.chunks is 9, which must be a square"),
    ("digits", "negatives.intra", "waveform", "negatives.intra is waveform"),
    ("digits", "sample.sampling.steps", 41, "sample.sampling.steps is 41"),
    ("digits", "sample.sampling.guidance_schedule", "rising", "guidance_schedule is rising, but"),
    ("digits", "sample.captions", "all", "sample.captions is all"),
    ("digits", "sample.seeds", [0, 0], "sample.seeds is .* twice"),
    ("digits", "judge.reads", "captions", "judge.reads is captions"),
    ("digits", "download.val", 801, "download.val is 801"),
    ("toy_dance", "train.loss.null_probability", 0, "sample.sampling.guidance is 2"),
    ("toy_dance", "negatives.n_inter", 1000, "negatives.n_inter is 1000, but download.train"),
    ("toy_dance", "negatives.chunks", 127, "negatives.chunks is 127, more than the 126 codes"),
    ("toy_dance", "negatives.intra", "pixels", "negatives.intra is pixels"),
    ("toy_dance", "codec.crop", 44101, "codec.crop is 44101"),
    ("toy_dance", "codec.crop", 349, "codec.crop is 349, shorter than one code"),
    ("toy_dance", "codec.architecture.kernel", 4, "codec.architecture.kernel is 4"),
    ("toy_dance", "codec.architecture.heads", 3, "codec.architecture.heads is 3"),
    ("toy_dance", "media.sample_rate", 8000, "media.sample_rate is 8000|codec.crop is 16100"),
    ("toy_dance", "judge.embedding", "yamnet", "judge.weights is missing"),
    ("aist", "negatives.chunks", 345, "negatives.chunks is 345, more than the 344 codes"),
    ("aist", "media.clip_seconds", 3, "media.clip_seconds is 3"),
    ("imagenet", "media.image_size", 250, "media.image_size is 250"),
    ("folder", "download.val_share", 0.95, "download.*val_share and test_share"),
]


@pytest.mark.parametrize(
    ("dataset", "key", "value", "sentence"), BETWEEN, ids=[f"{d}-{k}={v}" for d, k, v, _ in BETWEEN]
)
def test_numbers_that_do_not_go_together_are_told(dataset, key, value, sentence, monkeypatch):
    file = ROOT / "params" / f"{dataset}.yaml"
    changed = with_value(read(file), tuple(key.split(".")), value)
    monkeypatch.setattr(stages.config, "read_yaml", lambda _: changed)
    with pytest.raises(UserError, match=sentence) as told:
        read_settings(dataset, file, "sample_intra")
    assert str(told.value).startswith(f"{file}: ")
    assert "\n" not in str(told.value)


def test_what_the_form_cca_needs_is_told(monkeypatch):
    file = ROOT / "params" / "digits.yaml"
    changed = read(file)
    changed["train"]["contrast"] |= {"form": "cca", "negatives_per_step": None}

    def told(setting):
        monkeypatch.setattr(stages.config, "read_yaml", lambda _: changed)
        return read_settings("digits", file, setting)

    with pytest.raises(UserError, match="train.init is null, but train.contrast.form cca"):
        told("sample_inter")
    changed["train"]["init"] = "vanilla.safetensors"
    with pytest.raises(UserError, match="train.contrast.form is cca, which contrasts"):
        told("sample_intra")
    assert told("sample_inter").train.contrast.form == "cca"
    changed["train"]["batch_size"] = 1
    with pytest.raises(UserError, match="train.batch_size is 1"):
        told("step_inter")


def test_the_contrast_of_params_yaml_counts_too(monkeypatch):
    file = ROOT / "params" / "digits.yaml"
    changed = with_value(read(file), ("negatives", "n_inter"), 0)
    monkeypatch.setattr(stages.config, "read_yaml", lambda _: changed)
    read_settings("digits", file)
    with pytest.raises(UserError, match="negatives.n_inter is 0, but the contrast step_inter"):
        read_settings("digits", file, "step_inter")


WELCOME = {  # which of the wrong values below a key of run.yaml does take
    **dict.fromkeys(("device", "launch", "compile", "tensorboard"), ("3", None)),
    **dict.fromkeys(("tf32", "keep_optimiser"), (True,)),
    **dict.fromkeys(("micro_batch", "products"), (None,)),
    "gpus_a_process": (0.5,),
}


@pytest.mark.parametrize("key", RunSettings.model_fields)
@pytest.mark.parametrize("value", [-1, 10**12, 0.5, math.nan, "3", None, True, []])
def test_run_yaml_is_bounded(key, value, tmp_path, monkeypatch):
    monkeypatch.setenv("CDCD_HOME", str(tmp_path))
    write_run(tmp_path, **{key: value})
    if value in WELCOME.get(key, ()):
        assert getattr(run_settings(), key) == value
        return
    with pytest.raises(UserError, match=f"run.yaml: {key} is"):
        run_settings()


def test_every_stage_looks_at_run_yaml_first(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CDCD_HOME", str(tmp_path))
    monkeypatch.delenv("CDCD_DEVICE", raising=False)
    for key, value in (("sample_batch", 0), ("device", "nonsense"), ("colour", "red")):
        (tmp_path / "run.yaml").unlink(missing_ok=True)
        write_run(tmp_path, **{key: value})
        with pytest.raises(UserError, match=f"run.yaml: {key} is"):
            stages.config.read_dataset("digits")
        with pytest.raises(UserError, match=f"run.yaml: {key} is"):
            stages.config.read_params()
