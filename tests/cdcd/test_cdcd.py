"""`import cdcd`: every public name is there, and none of them costs anything before it is used."""

import subprocess
import sys

import pytest

import cdcd


@pytest.mark.parametrize("name", cdcd.__all__)
def test_every_public_name_is_the_library_s(name):
    found = getattr(cdcd, name)
    assert found.__name__ == name
    assert found.__module__.startswith(("pipeline.", "cdcd."))
    assert name in dir(cdcd)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        cdcd.nonsense  # noqa: B018


def test_importing_brings_in_nothing_heavy():
    code = "import sys, cdcd; print(cdcd.__version__, 'torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [cdcd.__version__, "False"]
