"""What the tests' Kaggle refuses, and files in parts, against the real, unmodified client and by hand."""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse

import pytest

from kgl.rehearsal.contest import Answer, PracticeContest
from kgl.rehearsal.server import Submission, utc_now
from tests.kaggle_faults import FaultyKaggle
from tests.kaggle_strict import StrictKaggle
from tests.test_kaggle_faults import FILES, SUBMIT, Desk, desk, refusal

__all__ = ["desk"]  # the fixture


def test_large_text_files_come_zipped(desk: Desk) -> None:
    desk.kaggle.contest.files["big.csv"] = b"a,b\n" * 300_000
    desk.ask(zipped="api.competition_download_file('titanic', 'big.csv', path='.', quiet=True)")
    with zipfile.ZipFile(desk.home / "big.csv.zip") as archive:
        assert archive.read("big.csv") == desk.kaggle.contest.files["big.csv"]


def test_legacy_keys_are_good(desk: Desk) -> None:
    legacy = desk.kaggle.environment(desk.home)
    legacy |= {"KAGGLE_USERNAME": desk.kaggle.username, "KAGGLE_KEY": desk.kaggle.key}
    del legacy["KAGGLE_API_TOKEN"]
    assert len(desk.run({"files": FILES}, env=legacy)["files"]) == 3


def test_a_submission_beyond_the_allowance_is_refused(desk: Desk) -> None:
    desk.kaggle.contest.daily_limit = 1
    answers = desk.ask(first=SUBMIT, second=SUBMIT)
    assert answers["first"]["ref"] > 0
    assert "daily Submission allowance (1)" in refusal(answers["second"])[1]


def fetch(kaggle: FaultyKaggle, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> HTTPResponse:
    """A request without the client, for what it seldom asks."""
    connection = HTTPConnection("127.0.0.1", kaggle.port, timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def test_a_range_of_a_file_that_has_changed_is_the_whole_file(desk: Desk) -> None:
    path, content = "/data/train.csv", desk.kaggle.contest.files["train.csv"]
    whole = fetch(desk.kaggle, path)
    tag = str(whole.headers["ETag"])
    rest = fetch(desk.kaggle, path, Range="bytes=100-", If_Range=tag)
    assert (rest.status, rest.read()) == (206, content[100:])
    assert rest.headers["Content-Range"] == f"bytes 100-{len(content) - 1}/{len(content)}"
    assert fetch(desk.kaggle, path, Range=f"bytes={len(content)}-").status == 416
    desk.kaggle.contest.files["train.csv"] = content + b"more"
    changed = fetch(desk.kaggle, path, Range="bytes=100-", If_Range=tag)
    assert (changed.status, changed.read()) == (200, content + b"more")


def test_an_upload_goes_on_where_it_broke(desk: Desk) -> None:
    content = (desk.home / "s.csv").read_bytes()
    answer = desk.kaggle.api_start_submission_upload({"fileName": "s.csv", "contentLength": len(content)})
    path, total = answer["createUrl"], len(content)
    part = fetch(desk.kaggle, path, "PUT", content[:1000], Content_Range=f"bytes 0-999/{total}")
    assert (part.status, part.headers["Range"]) == (308, "bytes=0-999")
    asked = fetch(desk.kaggle, path, "PUT", Content_Range=f"bytes */{total}")
    assert (asked.status, asked.headers["Range"]) == (308, "bytes=0-999")
    rest = fetch(desk.kaggle, path, "PUT", content[1000:], Content_Range=f"bytes 1000-{total - 1}/{total}")
    assert rest.status == 200
    desk.kaggle.api_create_submission({"blobFileTokens": answer["token"]})
    assert desk.kaggle.submissions[0].content == content


SMALL = PracticeContest(
    slug="small",
    files={},
    solution={"a": Answer("1", True), "b": Answer("0", True), "c": Answer("1", False), "d": Answer("1", False)},
    columns=("id", "label"),
)


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
    one = Submission(1, "s.csv", "", content, utc_now())
    StrictKaggle(SMALL).score(one)
    assert one.status == "ERROR" and says in (one.error or "")


def test_a_scorer_that_cannot_read_the_predictions_makes_the_submission_an_error() -> None:
    def mean_absolute(labels: Sequence[str], rows: Sequence[tuple[str, ...]]) -> float:
        return sum(abs(float(label) - float(row[0])) for label, row in zip(labels, rows, strict=True)) / len(labels)

    kaggle = StrictKaggle(replace(SMALL, scorer=mean_absolute, greater_is_better=False))
    good, bad = (
        Submission(1, "s.csv", "", f"id,label\na,{first}\nb,0\nc,1\nd,1\n".encode(), utc_now())
        for first in ("0.5", "yes")
    )
    for one in (good, bad):
        kaggle.score(one)
    assert (good.public, good.private) == (0.25, 0.0)
    assert bad.status == "ERROR" and "could not convert" in (bad.error or "")
