"""Whatever happens to a file, its reader answers with one sentence or with what was written: no
traceback, no crash, no hang, nothing executed, nothing written elsewhere.
"""

import pytest

from tests.fuzz.campaign import campaign
from tests.fuzz.kinds import KINDS

FEW = {"settings.yaml": 8, "x.mp4": 25}  # slow ones
MANY = {"settings.yaml": 150, "x.mp4": 200}


@pytest.mark.parametrize("name", KINDS)
def test_a_few_mutations_of_every_kind(name, tmp_path):
    outcome = campaign(name, seed=0, count=FEW.get(name, 40), folder=tmp_path)
    assert not outcome.findings
    assert outcome.tries == FEW.get(name, 40)
    assert outcome.refused > 0.2 * outcome.tries


@pytest.mark.soak
@pytest.mark.parametrize("name", KINDS)
def test_many_mutations_of_every_kind(name, tmp_path):
    count = MANY.get(name, 400)
    outcome = campaign(name, seed=1, count=count, folder=tmp_path)
    print(f"{name}: {outcome.tries} tries, {outcome.refused} refused")
    assert not outcome.findings
    assert outcome.tries == count
