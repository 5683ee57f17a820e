"""Stage `extract`: what the model is conditioned on, as numbers."""

import time

from pipeline.datasets.toy_dance import read_markers
from pipeline.features.extract import extract_dance
from pipeline.features.pictures import extract_captions, extract_labels
from pipeline.runtime.files import atomic
from pipeline.runtime.scratch import fingerprint, scratch
from stages.config import CaptionToImage, ClassToImage, DatasetArgument, read_dataset
from stages.paths import Paths, code


def extract(dataset: DatasetArgument) -> None:
    """Extract the conditions: motion and video features of dances, tokens or features of captions,
    class numbers.

    In: data/DATASET/raw, and the weights that `extract` names, if any. Out:
    data/DATASET/conditions.h5, and data/DATASET/extractor, for dances the networks used, and
    skipped.csv with the clips left out and why.

    Example: cdcd extract toy_dance
    """
    settings, paths = read_dataset(dataset), Paths(dataset)
    manifest = paths.manifest(settings.media_root)
    if isinstance(settings, CaptionToImage | ClassToImage):
        with atomic(paths.extractor) as folder:
            folder.mkdir()
            (folder / "README.md").write_text(
                "Captions and classes are read without a network trained here.\n"
            )
        if isinstance(settings, CaptionToImage):
            text = settings.extract
            mark = fingerprint("captions", text, paths.raw, *code("features", "datasets"))
            with scratch(mark) as folder:
                about = extract_captions(text, manifest, paths.raw, paths.conditions, folder)
            cut = f"; {about['captions_cut']} longer ones were cut" if about["captions_cut"] else ""
            longest = f"up to {about['longest_caption']} of CLIP's 77 tokens"
            print(f"{dataset}: captions of {len(manifest.clips)} pictures, {longest}{cut}.")
        else:
            about = extract_labels(settings.extract, manifest, paths.conditions)
            print(f"{dataset}: {len(manifest.clips)} pictures of {len(about['classes'])} classes.")
        return
    mark = fingerprint(
        "extract", settings.extract, settings.clip_seconds, paths.raw, *code("features", "media")
    )
    started = time.perf_counter()
    with scratch(mark) as folder:
        skipped = extract_dance(
            settings.extract,
            manifest,
            settings.clip_seconds,
            paths.conditions,
            paths.extractor,
            folder,
            read_markers,
        )
    for clip, reason in skipped[:10]:
        print(f"{dataset}: {clip} left out: {reason}")
    n_clips = len(manifest.clips)
    rate = n_clips / (time.perf_counter() - started)
    print(
        f"{dataset}: conditions of {n_clips - len(skipped)} clips, {len(skipped)} left out;"
        f" {rate:.1f} clips a second."
    )
