"""A data set's model as it was in another revision or DVC experiment, brought beside the workspace,
which stays as it is.
"""

from pathlib import Path

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic
from pipeline.runtime.scratch import home
from stages.paths import Paths


def revision_folder(dataset: str, rev: str) -> Path:
    """A folder with settings, model, codec, extractor and table of a data set as `rev` has them (a
    branch, tag, commit or experiment); fetched once, into `$CDCD_HOME/revisions`.

    Raises UserError where this is no repository of DVC, there is no such revision, or its outputs
    are neither in DVC's cache nor in a remote.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    try:
        tree = DVCFileSystem(rev=rev)
        commit = str(tree.repo.get_rev())
    except (DvcException, SCMError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UserError(
            f"--rev {rev} cannot be read ({reason}); `git log` and `dvc exp show` list what there"
            " is."
        ) from None
    target = home() / "revisions" / commit[:16] / dataset
    if not target.is_dir():
        with atomic(target) as folder:
            _fetch(tree, dataset, rev, folder)
    return target


def _fetch(tree, dataset: str, rev: str, folder: Path) -> None:
    """Copies what a model consists of from a revision into `folder`."""
    paths = Paths(dataset)
    wanted = [paths.settings, paths.model, paths.codec, paths.extractor, paths.raw / "manifest.csv"]
    for path in [*wanted, paths.metrics / "table.csv"]:
        needed = path in wanted[:4]
        try:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if needed or tree.exists(path.as_posix()):
                tree.get(path.as_posix(), str(folder / path), recursive=True)
        except (
            Exception
        ) as error:  # whatever DVC and its storage raise where a file is not to be had
            if not needed:
                continue
            raise UserError(
                f"--rev {rev}: {path} is neither in DVC's cache nor in a remote"
                f" ({type(error).__name__}); build it there, or `dvc pull` it."
            ) from None
