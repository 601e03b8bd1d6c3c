"""The whole loop of each starter, by the commands that a new workspace prints."""

import re

import pytest

from tests.baking import STARTERS, printed_steps
from tests.conftest import Bake

OWN = (".venv", "uv.lock")


@pytest.mark.parametrize("starter", STARTERS)
def test_the_printed_steps_lead_from_nothing_to_both_scores(
    bake: Bake, starter: str, capfd: pytest.CaptureFixture[str]
) -> None:
    project = bake(starter=starter)
    before = project.files()
    commands = [step for step in printed_steps(capfd.readouterr().out) if step[0] != "cd"]
    assert commands == [["uv", "sync"], ["uv", "run", "kgl", "rehearse"]]

    said = [project.succeed(*command).stdout for command in commands][-1]

    assert "blend-001" in said and "checked" in said
    scores = re.search(r"^public (0\.\d+)   private (0\.\d+)$", said, re.MULTILINE)
    assert scores and all(0.7 < float(score) < 0.95 for score in scores.groups()), said
    made = {name for name in project.files() - before if not name.startswith(OWN) and "__pycache__" not in name}
    assert not made, "a rehearsal leaves the workspace as it was"
