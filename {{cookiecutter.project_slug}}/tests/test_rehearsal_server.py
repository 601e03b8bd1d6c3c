"""The practice Kaggle, asked by the real, unmodified client in a process and a home of its own."""

import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, cast

import pytest

from kgl.rehearsal.contest import Answer, BadSubmission, PracticeContest
from kgl.rehearsal.server import PracticeKaggle
from kgl.rehearsal.titanic import sample_contest
from kgl.rehearsal.web import Exchange

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


def ask(kaggle: PracticeKaggle, home: Path, *, env: dict[str, str] | None = None, **steps: str) -> dict[str, Any]:
    """What the real client answers to each step, a Python expression over its `api`."""
    variables = kaggle.environment(home) if env is None else env
    subprocess.run(
        [sys.executable, "-c", CLIENT],
        input=json.dumps(steps),
        text=True,
        cwd=home,
        env=variables,
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


def test_the_client_sees_the_contest_its_files_and_its_pages(kaggle: PracticeKaggle, tmp_path: Path) -> None:
    kaggle.contest.files |= {f"images/{number}.png": b"x" for number in range(30)}
    answers = ask(
        kaggle,
        tmp_path,
        user="api.config_values['username']",
        first="api.competition_list_files('titanic')",
        second="api.competition_list_files('titanic', page_token=answers['first'].next_page_token)",
        pages="api.competition_list_pages('titanic')",
        limits="api.competition_get_submission_limits('titanic')",
        unknown="api.competition_list_files('titanik')",
    )
    assert answers["user"] == kaggle.username
    about = kaggle.api_get_competition({})
    assert about["ref"] == "https://www.kaggle.com/competitions/titanic"
    assert (about["evaluationMetric"], about["userHasEntered"]) == ("Categorization Accuracy", True)
    names = [file["name"] for page in ("first", "second") for file in answers[page]["files"]]
    assert names == list(kaggle.contest.files)
    assert not answers["second"]["nextPageToken"]
    assert "Evaluation" in [page["name"] for page in answers["pages"]]
    assert answers["limits"]["numAllowedNow"] == 10
    assert json.loads(answers["unknown"]["body"])["error"]["code"] == 404


def test_downloads_are_whole_and_large_text_files_come_zipped(kaggle: PracticeKaggle, tmp_path: Path) -> None:
    stored = tmp_path / "stored.csv"
    stored.write_bytes(b"a,b\n" * 300_000)
    kaggle.contest.files["big.csv"] = stored
    ask(
        kaggle,
        tmp_path,
        one="api.competition_download_file('titanic', 'train.csv', path='one', quiet=True)",
        zipped="api.competition_download_file('titanic', 'big.csv', path='one', quiet=True)",
        everything="api.competition_download_files('titanic', path='all')",
    )
    assert (tmp_path / "one" / "train.csv").read_bytes() == kaggle.contest.files["train.csv"]
    with zipfile.ZipFile(tmp_path / "one" / "big.csv.zip") as archive:
        assert archive.read("big.csv") == stored.read_bytes()
    with zipfile.ZipFile(tmp_path / "all" / "titanic.zip") as archive:
        assert archive.namelist() == list(kaggle.contest.files)
        assert archive.read("test.csv") == kaggle.contest.files["test.csv"]


class Watched(PracticeKaggle):
    """Notes which ranges are asked for, and can stop in the middle of a file."""

    stop_after: int | None = None

    def start(self) -> "Watched":
        self.ranges: list[str | None] = []
        watched = self

        class Stopping(Exchange):
            sent = 0

            def write(self, piece: bytes) -> None:
                super().write(piece)
                self.sent += len(piece)
                if watched.stop_after is not None and self.sent > watched.stop_after:
                    time.sleep(60)  # the test kills the client meanwhile; this thread is a daemon

        self.exchange = Stopping
        return super().start()

    __enter__ = start

    def serve(self, exchange: Exchange) -> None:
        if exchange.endpoint == "storage":
            self.ranges.append(exchange.headers.get("Range"))
        super().serve(exchange)


def test_a_download_that_was_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    content = bytes(range(256)) * 12_000
    step = "api.competition_download_file('titanic', 'weights.bin', path='.', quiet=True)"
    contest = sample_contest()
    contest.files = {"weights.bin": content}
    with Watched(contest) as kaggle:
        kaggle.stop_after = 2_000_000
        run = f"import kaggle; api = kaggle.api; {step}"
        client = subprocess.Popen([sys.executable, "-c", run], cwd=tmp_path, env=kaggle.environment(tmp_path))
        file = tmp_path / "weights.bin"
        until = time.monotonic() + 30
        while not (file.exists() and file.stat().st_size) and time.monotonic() < until:
            time.sleep(0.02)
        client.kill()
        client.wait()
        kaggle.stop_after = None
        arrived = file.stat().st_size
        ask(kaggle, tmp_path, rest=step)
        assert 0 < arrived < len(content)
        assert kaggle.ranges == [None, None, f"bytes={arrived}-"]
        assert file.read_bytes() == content


def fetch(kaggle: PracticeKaggle, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> HTTPResponse:
    """A request without the client, for what it seldom asks."""
    connection = HTTPConnection("127.0.0.1", kaggle.port, timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def test_a_range_of_a_file_that_has_changed_is_the_whole_file(kaggle: PracticeKaggle) -> None:
    path, content = "/data/train.csv", cast(bytes, kaggle.contest.files["train.csv"])
    whole = fetch(kaggle, path)
    tag = str(whole.headers["ETag"])
    rest = fetch(kaggle, path, Range="bytes=100-", If_Range=tag)
    assert (rest.status, rest.read()) == (206, content[100:])
    assert rest.headers["Content-Range"] == f"bytes 100-{len(content) - 1}/{len(content)}"
    assert fetch(kaggle, path, Range=f"bytes={len(content)}-").status == 416
    kaggle.contest.files["train.csv"] = content + b"more"
    changed = fetch(kaggle, path, Range="bytes=100-", If_Range=tag)
    assert (changed.status, changed.read()) == (200, content + b"more")


def test_a_submission_is_pending_then_scored_and_its_private_score_comes_with_the_deadline(
    kaggle: PracticeKaggle, tmp_path: Path
) -> None:
    kaggle.contest.daily_limit = 2
    (tmp_path / "good.csv").write_text(submission(kaggle.contest))
    (tmp_path / "short.csv").write_text("PassengerId,Survived\n892,0\n")
    listing = "api.competition_submissions('titanic')"
    answers = ask(
        kaggle,
        tmp_path,
        good="api.competition_submit('good.csv', 'everybody dies', 'titanic', quiet=True)",
        short="api.competition_submit('short.csv', 'too short', 'titanic', quiet=True)",
        pending=listing,
        one_too_many="api.competition_submit('good.csv', 'more', 'titanic', quiet=True)",
        while_pending="api.competition_get_submission_limits('titanic')",
        scored=listing,
        limits="api.competition_get_submission_limits('titanic')",
        leaderboard="api.competition_leaderboard_view('titanic', page_size=200)",
    )
    assert answers["good"]["ref"] > 0
    assert [one["status"] for one in answers["pending"]] == ["PENDING", "PENDING"]
    assert answers["while_pending"]["numAllowedNow"] == 0
    refusal = json.loads(answers["one_too_many"]["body"])["error"]
    assert refusal["code"] == 400
    assert "daily Submission allowance (2)" in refusal["message"]
    error, good = answers["scored"]
    assert (error["status"], good["status"]) == ("ERROR", "COMPLETE")
    assert error["errorDescription"] == "Evaluation Exception: Submission must have 418 rows"
    assert (good["description"], good["fileName"]) == ("everybody dies", "good.csv")
    public, private = kaggle.contest.score((tmp_path / "good.csv").read_bytes())
    assert (good["publicScore"], good["privateScore"]) == (f"{public:.5f}", "")
    assert answers["limits"]["numAllowedNow"] == 1  # what ended as an error does not count
    assert kaggle.team in [row["teamName"] for row in answers["leaderboard"]]

    kaggle.close_contest()
    assert kaggle.api_list_submissions({})["submissions"][1]["privateScore"] == f"{private:.5f}"
    assert kaggle.api_get_competition({})["userRank"] > 0


def test_without_accepted_rules_files_are_listed_but_not_sent(kaggle: PracticeKaggle, tmp_path: Path) -> None:
    kaggle.contest.entered = False
    (tmp_path / "good.csv").write_text(submission(kaggle.contest))
    answers = ask(
        kaggle,
        tmp_path,
        files="api.competition_list_files('titanic').files",
        download="api.competition_download_files('titanic', path='.')",
        submit="api.competition_submit('good.csv', 'text', 'titanic', quiet=True)",
    )
    assert len(answers["files"]) == 3
    for step in ("download", "submit"):
        error = json.loads(answers[step]["body"])["error"]
        assert (error["code"], error["details"][0]["reason"]) == (403, "RulesAcceptanceRequired")


def test_legacy_keys_are_good_and_a_wrong_token_is_not(kaggle: PracticeKaggle, tmp_path: Path) -> None:
    legacy = kaggle.environment(tmp_path) | {"KAGGLE_USERNAME": kaggle.username, "KAGGLE_KEY": kaggle.key}
    del legacy["KAGGLE_API_TOKEN"]
    assert len(ask(kaggle, tmp_path, env=legacy, files="api.competition_list_files('titanic').files")["files"]) == 3
    service = "/api/v1/competitions.CompetitionApiService/ListDataFiles"
    answer = fetch(kaggle, service, "POST", b"{}", Authorization="Bearer KGAT_wrong")
    assert answer.status == json.loads(answer.read())["error"]["code"] == 401


def test_an_upload_goes_on_where_it_broke(kaggle: PracticeKaggle) -> None:
    content = submission(kaggle.contest).encode()
    answer = kaggle.api_start_submission_upload({"fileName": "s.csv", "contentLength": len(content)})
    path, total = answer["createUrl"], len(content)
    part = fetch(kaggle, path, "PUT", content[:1000], Content_Range=f"bytes 0-999/{total}")
    assert (part.status, part.headers["Range"]) == (308, "bytes=0-999")
    asked = fetch(kaggle, path, "PUT", Content_Range=f"bytes */{total}")
    assert (asked.status, asked.headers["Range"]) == (308, "bytes=0-999")
    assert fetch(kaggle, path, "PUT", content[1000:], Content_Range=f"bytes 1000-{total - 1}/{total}").status == 200
    kaggle.api_create_submission({"blobFileTokens": answer["token"]})
    assert kaggle.submissions[0].content == content


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
    title="small",
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


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "columns must be id, label"),
        (b"id,labels\na,1\n", "found id, labels"),
        (b"id,label,more\na,1,1\n", "found id, label, more"),
        (b"id,label\na,1\nb,1\nc,1\n", "must have 4 rows"),
        (b"id,label\na,1\nb,1\nc,1\nc,1\n", "the key 'c' has already been defined"),
        (b"id,label\na,1\nb,1\nc,1\nx,1\n", "Unable to find 1 required keys in 'id'"),
        (b"id,label\na,1\nb,\nc,1\nd,1\n", "Line 3 has an empty or missing value"),
        (b"id,label\na,\xff\n", "not a readable CSV"),
    ],
)
def test_a_bad_file_is_refused_with_the_reason(content: bytes, says: str) -> None:
    with pytest.raises(BadSubmission, match=says):
        SMALL.score(content)


def test_a_scorer_that_cannot_read_the_predictions_makes_the_submission_an_error() -> None:
    def mean_absolute(labels: Sequence[str], rows: Sequence[tuple[str, ...]]) -> float:
        return sum(abs(float(label) - float(row[0])) for label, row in zip(labels, rows, strict=True)) / len(labels)

    contest = replace(SMALL, scorer=mean_absolute, greater_is_better=False)
    assert contest.score(b"id,label\na,0.5\nb,0\nc,1\nd,1\n") == (0.25, 0.0)
    with pytest.raises(BadSubmission, match="could not convert"):
        contest.score(b"id,label\na,yes\nb,0\nc,1\nd,1\n")
