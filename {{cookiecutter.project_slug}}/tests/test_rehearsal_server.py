"""The practice Kaggle, asked by the real, unmodified client in a process and a home of its own."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from kgl.rehearsal.contest import Answer, PracticeContest
from kgl.rehearsal.server import PracticeKaggle
from kgl.rehearsal.titanic import sample_contest

CLIENT = """
import json, sys
import kaggle

api, answers = kaggle.api, {}
for step, code in json.load(sys.stdin).items():
    try:
        answers[step] = eval(code)
    except Exception as error:
        answers[step] = {"failed": str(error), "body": getattr(error.response, "text", "")}
def plain(value):
    return json.loads(value.to_json(ignore_defaults=False)) if hasattr(value, "to_json") else str(value)
open("answers.json", "w").write(json.dumps(answers, default=plain))
"""


def ask(kaggle: PracticeKaggle, home: Path, **steps: str) -> dict[str, Any]:
    """What the real client answers to each step, a Python expression over its `api`."""
    subprocess.run(
        [sys.executable, "-c", CLIENT],
        input=json.dumps(steps),
        text=True,
        cwd=home,
        env=kaggle.environment(home),
        check=True,
        timeout=60,
    )
    return cast(dict[str, Any], json.loads((home / "answers.json").read_text()))


@pytest.fixture
def kaggle() -> Iterator[PracticeKaggle]:
    with PracticeKaggle(sample_contest()) as running:
        yield running


def submission(contest: PracticeContest, label: str = "0") -> str:
    return "PassengerId,Survived\n" + "".join(f"{key},{label}\n" for key in contest.solution)


def test_the_client_sees_the_contest_and_its_files(kaggle: PracticeKaggle, tmp_path: Path) -> None:
    kaggle.contest.files |= {f"images/{number}.png": b"x" for number in range(30)}
    answers = ask(
        kaggle,
        tmp_path,
        user="api.config_values['username']",
        first="api.competition_list_files('titanic')",
        second="api.competition_list_files('titanic', page_token=answers['first'].next_page_token)",
        limits="api.competition_get_submission_limits('titanic')",
    )
    assert answers["user"] == kaggle.username
    about = kaggle.api_get_competition({})
    assert about["ref"] == "https://www.kaggle.com/competitions/titanic"
    assert (about["evaluationMetric"], about["userHasEntered"]) == ("Categorization Accuracy", True)
    names = [file["name"] for page in ("first", "second") for file in answers[page]["files"]]
    assert names == list(kaggle.contest.files)
    assert not answers["second"]["nextPageToken"]
    assert answers["limits"]["numAllowedNow"] == 10


def test_downloads_are_whole(kaggle: PracticeKaggle, tmp_path: Path) -> None:
    ask(
        kaggle,
        tmp_path,
        one="api.competition_download_file('titanic', 'train.csv', path='one', quiet=True)",
        everything="api.competition_download_files('titanic', path='all')",
    )
    assert (tmp_path / "one" / "train.csv").read_bytes() == kaggle.contest.files["train.csv"]
    with zipfile.ZipFile(tmp_path / "all" / "titanic.zip") as archive:
        assert archive.namelist() == list(kaggle.contest.files)
        assert archive.read("test.csv") == kaggle.contest.files["test.csv"]


def test_a_submission_is_pending_then_scored_and_its_private_score_comes_with_the_deadline(
    kaggle: PracticeKaggle, tmp_path: Path
) -> None:
    kaggle.contest.daily_limit = 2
    (tmp_path / "good.csv").write_text(submission(kaggle.contest))
    listing = "api.competition_submissions('titanic')"
    answers = ask(
        kaggle,
        tmp_path,
        good="api.competition_submit('good.csv', 'everybody dies', 'titanic', quiet=True)",
        again="api.competition_submit('good.csv', 'again', 'titanic', quiet=True)",
        pending=listing,
        while_pending="api.competition_get_submission_limits('titanic')",
        scored=listing,
        leaderboard="api.competition_leaderboard_view('titanic', page_size=200)",
    )
    assert answers["good"]["ref"] > 0
    assert [one["status"] for one in answers["pending"]] == ["PENDING", "PENDING"]
    assert answers["while_pending"]["numAllowedNow"] == 0
    again, good = answers["scored"]
    assert (again["status"], good["status"]) == ("COMPLETE", "COMPLETE")
    assert (good["description"], good["fileName"]) == ("everybody dies", "good.csv")
    public, private = kaggle.contest.score((tmp_path / "good.csv").read_bytes())
    assert (good["publicScore"], good["privateScore"]) == (f"{public:.5f}", "")
    assert kaggle.team in [row["teamName"] for row in answers["leaderboard"]]

    kaggle.close_contest()
    assert kaggle.api_list_submissions({})["submissions"][1]["privateScore"] == f"{private:.5f}"
    assert kaggle.api_get_competition({})["userRank"] > 0


def test_nothing_of_the_users_reaches_the_child(
    kaggle: PracticeKaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_PATH"):
        monkeypatch.setenv(name, "mine")
    environment = kaggle.environment(tmp_path)
    assert "mine" not in environment.values()
    assert environment["HOME"] == environment["USERPROFILE"] == str(tmp_path)
    assert environment["KAGGLE_API_TOKEN"].startswith("KGAT_")


SMALL = PracticeContest(
    slug="small",
    files={},
    solution={"a": Answer("1", True), "b": Answer("0", True), "c": Answer("1", False), "d": Answer("1", False)},
    columns=("id", "label"),
)


@pytest.mark.parametrize(
    ("content", "scores"),
    [
        ("id,label\na,1\nb,1\nc,1\nd,1\n", (0.5, 1.0)),
        ("label,id\r\n1,d\r\n1,c\r\n1,b\r\n1,a\r\n", (0.5, 1.0)),  # other orders, line ends of Windows
        ("\ufeffid,label\na,1\nb,0\nc,0\nd,0\n\n", (1.0, 0.0)),
        ("id,label\na,1.0\nb,0\nc,1\nd,1\n", (0.5, 1.0)),  # 1.0 is not 1
    ],
)
def test_a_good_file_is_scored_on_both_halves(content: str, scores: tuple[float, float]) -> None:
    assert SMALL.score(content.encode()) == scores
