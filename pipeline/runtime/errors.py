"""What a user can mend, as an exception."""

from pathlib import Path


class UserError(Exception):
    """Something the user can mend, told in one sentence; the command line prints it and exits with
    1.
    """


class DamagedFile(UserError):
    """A file whose content is not what was written: `what` says what is wrong with it, `mend` which
    command brings it back (default: DVC's cache, or the stage that makes it).
    """

    def __init__(self, path: Path, what: str, mend: str | None = None):
        self.path, self.what = Path(path), what
        mend = mend or (
            f"restore it with `dvc checkout --force {path}`, or run the stage that makes it again"
        )
        super().__init__(f"{path} is damaged ({what}); {mend}.")

    def __reduce__(self) -> tuple:
        return _again, (self.path, self.what, str(self))


def _again(path: Path, what: str, sentence: str) -> DamagedFile:
    """The same error in another process (a worker's errors are pickled)."""
    error = DamagedFile(path, what)
    error.args = (sentence,)
    return error
