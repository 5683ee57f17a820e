"""Either kind of negatives can be switched off, and training opens only what its contrast reads."""

import numpy as np
import pytest

from pipeline.runtime.errors import UserError
from pipeline.storage.store import Store, write_store
from stages.paths import Paths
from stages.train import open_stores
from tests.helpers.house import run, small_params, write_params


@pytest.fixture(scope="module")
def tokenised(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CDCD_HOME", str(folder / "home"))
        params = small_params()
        write_params(folder, {**params, "datasets": ["digits"]})
        for stage in ("download", "codec", "tokenize"):
            run(stage, "digits")
    return folder


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"n_intra": 0, "chunks": 7}, {"inter"}),
        ({"n_inter": 0, "intra": "tokens"}, {"intra"}),
        ({"n_intra": 0, "n_inter": 0}, set()),
    ],
)
def test_what_is_switched_off_is_not_made(tokenised, monkeypatch, changes, fields):
    monkeypatch.chdir(tokenised)
    monkeypatch.setenv("CDCD_HOME", str(tokenised / "home"))
    params = small_params()
    params["digits"]["negatives"].update(changes)
    kind = next(iter(fields), None)
    contrast = f"sample_{kind}" if kind else "vanilla"
    write_params(tokenised, {**params, "datasets": ["digits"], "contrast": contrast})
    run("negatives", "digits")
    store = Store(tokenised / "data" / "digits" / "negatives.h5", "negatives")
    assert set(store.fields) == fields
    off = "intra" if changes.get("n_intra") == 0 else "inter"
    write_params(tokenised, {**params, "datasets": ["digits"], "contrast": f"step_{off}"})
    with pytest.raises(
        UserError, match=f"negatives.n_{off} is 0, but the contrast step_{off} needs"
    ):
        run("train", "digits")


def test_without_contrast_no_negatives_are_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = Paths("x")
    for path, kind in ((paths.tokens, "tokens"), (paths.conditions, "conditions")):
        with write_store(path, kind, ["a"], {"codec": "c"}) as store:
            store.field("tokens", (4,), "uint16")
            store.write("tokens", 0, np.ones(4))
    assert open_stores(paths, "vanilla").negatives is None
    with pytest.raises(UserError, match="negatives.h5 does not exist"):
        open_stores(paths, "sample_intra")
