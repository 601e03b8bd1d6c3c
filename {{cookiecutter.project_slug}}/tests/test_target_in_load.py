"""What load() of contest.py makes of the target has seen each row's own label: it is told."""

import pytest

from tests.conftest import Tiny

LOAD = """\
from kgl.tables import read_test, read_train


def load():
    train, test = read_train(), read_test()
    letters = train.groupby("letter")
    {line}
    return train, test
"""
MEANS = "train['known'], test['known'] = letters.label.transform('mean'), 0.5"


@pytest.mark.parametrize("command", ["folds", "doctor"])
def test_a_mean_of_the_target_is_told(tiny: Tiny, command: str) -> None:
    tiny.write("contest.py", LOAD.format(line=MEANS))
    assert tiny.kgl("folds").status == 0
    said = tiny.kgl(command).out
    assert "makes known of the target" in said, said


@pytest.mark.parametrize(
    "line",
    [
        "train['often'], test['often'] = letters['size'].transform('count'), 1",
        "train = train[train.label.eq(0) | train.gaps.notna()]",  # rows chosen by the target are not made of it
        "train = train.sort_values('label')",
    ],
)
def test_what_is_made_without_the_target_is_not_told(tiny: Tiny, line: str) -> None:
    tiny.write("contest.py", LOAD.format(line=line))
    done = tiny.kgl("folds")
    assert done.status == 0 and "of the target" not in done.out, done.out
