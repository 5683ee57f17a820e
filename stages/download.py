"""Stage `download`: a data set as media and one manifest."""

import csv
from pathlib import Path
from typing import Annotated

import typer

from pipeline.datasets.listing import verify_listing
from pipeline.runtime.files import atomic
from pipeline.storage.manifest import thin_test
from stages.config import MODULES, DatasetArgument, read_dataset
from stages.paths import Paths

SHOWN = 5  # of the files left out, on the terminal; skipped.csv holds all


def download(
    dataset: DatasetArgument,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only say what is there and what is missing; change nothing."),
    ] = False,
) -> None:
    """Bring a data set to media and one manifest.

    In: `download` of params/DATASET.yaml (an embedded data set is drawn from its seed; others are
    read from the folder or address named there). Out: data/DATASET/raw with manifest.csv, and
    skipped.csv with what was left out and why.

    Example: cdcd download toy_dance
    """
    settings, paths = read_dataset(dataset), Paths(dataset)
    module = MODULES[dataset]
    if check:
        findings = module.check(settings.download)
        if settings.media_root and (paths.raw / "manifest.csv").exists():
            findings += verify_listing(paths.raw, Path(settings.media_root))
        print("\n".join(findings) if findings else f"{dataset}: everything is there.")
        raise typer.Exit(1 if findings else 0)
    paths.raw.mkdir(parents=True, exist_ok=True)
    skipped = module.prepare(settings.download, paths.raw)
    with atomic(paths.raw / "skipped.csv") as temporary, open(temporary, "w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows([("file", "reason"), *skipped])
    for file, reason in skipped[:SHOWN]:
        print(f"{dataset}: left out: {file}: {reason.removesuffix('.')}.")
    manifest = paths.manifest(settings.media_root)
    counts = ", ".join(
        f"{len(manifest.of(split))} {split}"
        for split in ("train", "val", "test", "infer")
        if manifest.of(split)
    )
    if manifest.clips[0].song and (reason := thin_test(manifest)):
        print(f"{dataset}: {reason}")
    print(f"{dataset}: {counts}; {len(skipped)} files left out ({paths.raw / 'skipped.csv'}).")
