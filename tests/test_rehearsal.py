"""The whole loop of each starter, by the commands that a new workspace prints."""

import re
from collections.abc import Callable

import pytest

from tests.baking import STARTERS, BakedProject, printed_steps
from tests.conftest import Bake

OWN = (".venv", "uv.lock")
# what both scores on the hidden labels lie between: made-up passengers can be guessed only so well, digits can be read
SCORES = {"image": (0.95, 1.0)}


@pytest.mark.parametrize("starter", STARTERS)
def test_the_printed_steps_lead_from_nothing_to_both_scores(
    bake: Bake, installed: Callable[[str], BakedProject], starter: str, capfd: pytest.CaptureFixture[str]
) -> None:
    bake(starter=starter)
    commands = [step for step in printed_steps(capfd.readouterr().out) if step[0] != "cd"]
    assert commands == [["uv", "sync"], ["uv", "run", "kgl", "rehearse"]]
    project = installed(starter)
    before = project.files()

    said = [project.succeed(*command).stdout for command in commands][-1]

    assert "blend-001" in said and "checked" in said
    scores = re.search(r"^public ([01]\.\d+)   private ([01]\.\d+)$", said, re.MULTILINE)
    low, high = SCORES.get(starter, (0.7, 0.95))
    assert scores and all(low < float(score) <= high for score in scores.groups()), said
    made = {name for name in project.files() - before if not name.startswith(OWN) and "__pycache__" not in name}
    assert not made, "a rehearsal leaves the workspace as it was"
