"""Each fault plays as it is meant to, against the real, unmodified client."""

import json
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest

from kgl.rehearsal.contest import Answer, PracticeContest
from kgl.rehearsal.server import Submission, utc_now
from kgl.rehearsal.titanic import sample_contest
from tests.kaggle_faults import (
    BAD_TOKEN,
    DAILY_LIMIT,
    FALSE_SUCCESS,
    IDENTITY,
    INACTIVE_TOKEN,
    NEVER_ENDS,
    PHONE,
    SERVER_ERROR,
    UNAVAILABLE,
    Asked,
    FaultyKaggle,
    at_random,
    busy,
    crawl,
    cut,
    cut_upload,
    hang,
    lost_answer,
    reply,
    reset,
    spoil,
)
from tests.kaggle_files import ODD_NAMES, leaving_zip, many_files, nested_zip, odd_files, windows_lines

CLIENT = """
import json, sys, time
import kaggle

time.sleep = lambda seconds: None  # the client's own pauses between its tries
api, answers = kaggle.api, {}
for step, code in json.load(sys.stdin).items():
    try:
        answers[step] = eval(code)
    except Exception as error:
        response = getattr(error, "response", None)
        answers[step] = {
            "failed": type(error).__name__,
            "code": getattr(response, "status_code", None),
            "body": getattr(response, "text", ""),
            "headers": dict(getattr(response, "headers", {})),
        }
def plain(value):
    return json.loads(value.to_json(ignore_defaults=False)) if hasattr(value, "to_json") else str(value)
open("answers.json", "w").write(json.dumps(answers, default=plain))
"""
FILES = "api.competition_list_files('titanic').files"
ONE = "api.competition_download_file('titanic', 'train.csv', path='.', quiet=True)"
ALL = "api.competition_download_files('titanic', path='.')"
SUBMIT = "api.competition_submit('s.csv', 'mine', 'titanic', quiet=True)"
LIST = "api.competition_submissions('titanic')"


class Desk:
    """A user's desk: a home, a submission file, the real client, and the faulty Kaggle that it talks to."""

    def __init__(self, kaggle: FaultyKaggle, home: Path) -> None:
        self.kaggle, self.home = kaggle, home
        lines = "".join(f"{key},0\n" for key in kaggle.contest.solution)
        (home / "s.csv").write_text("PassengerId,Survived\n" + lines)

    def run(self, steps: dict[str, str], *, env: dict[str, str] | None = None, limit: float = 60) -> dict[str, Any]:
        """What the client answers to each step, an expression over its `api`; `limit` in seconds."""
        command, told = [sys.executable, "-c", CLIENT], json.dumps(steps)
        variables = env or self.kaggle.environment(self.home)
        subprocess.run(command, input=told, text=True, cwd=self.home, env=variables, check=True, timeout=limit)
        return cast(dict[str, Any], json.loads((self.home / "answers.json").read_text()))

    def ask(self, **steps: str) -> dict[str, Any]:
        """The same, for the usual case."""
        return self.run(steps)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with FaultyKaggle(sample_contest()) as kaggle:
        yield Desk(kaggle, tmp_path)


def refusal(answer: Any) -> tuple[int, str, str]:
    """Code, message and reason of an answer in Kaggle's JSON shape."""
    error = json.loads(answer["body"])["error"]
    assert error["code"] == answer["code"]
    return error["code"], error["message"], "".join(detail["reason"] for detail in error["details"])


def test_refusals_come_with_their_reason(desk: Desk) -> None:
    for fault in (IDENTITY, PHONE):
        desk.kaggle.play("DownloadDataFiles", fault)
    desk.kaggle.play("CreateSubmission", DAILY_LIMIT)
    answers = desk.ask(files=FILES, identity=ALL, phone=ALL, spent=SUBMIT)
    assert len(answers["files"]) == 3
    assert refusal(answers["identity"])[::2] == (403, "IdentityVerificationRequired")
    assert refusal(answers["phone"])[::2] == (403, "PhoneVerificationRequired")
    assert refusal(answers["spent"])[0] == 400
    assert "daily Submission allowance" in refusal(answers["spent"])[1]
    assert not desk.kaggle.submissions


def test_rules_that_were_not_accepted_stop_all_but_listing(desk: Desk) -> None:
    desk.kaggle.contest.entered = False
    answers = desk.ask(files=FILES, download=ONE, submit=SUBMIT)
    assert len(answers["files"]) == 3
    for step in ("download", "submit"):
        assert refusal(answers[step])[::2] == (403, "RulesAcceptanceRequired")


def test_contests_that_take_no_files_say_so_in_their_facts_and_when_asked(desk: Desk) -> None:
    desk.kaggle.notebooks_only()
    found = "api.competitions_list(search='titanic').competitions[0]"
    answers = desk.ask(facts=found, submit=SUBMIT)
    assert answers["facts"]["isKernelsSubmissionsOnly"] is True
    assert "Notebooks" in refusal(answers["submit"])[1]
    desk.kaggle.plays.clear()
    desk.kaggle.refuse_submissions()
    answers = desk.ask(facts=found, submit=SUBMIT)
    assert answers["facts"]["submissionsDisabled"] is True
    assert "deadline has passed" in refusal(answers["submit"])[1]
    assert not desk.kaggle.submissions


def test_a_bad_token_is_refused_and_a_stale_one_shadows_good_keys(desk: Desk) -> None:
    desk.kaggle.play("ListDataFiles", BAD_TOKEN)
    assert refusal(desk.ask(files=FILES)["files"])[0] == 401
    stale_env = desk.kaggle.stale_environment(desk.home)
    stale = desk.run({"files": FILES, "again": FILES}, env=stale_env)
    assert [refusal(stale[step])[0] for step in stale] == [401, 401]
    desk.kaggle.play("IntrospectToken", INACTIVE_TOKEN)
    inactive = desk.run({"method": "api.config_values['auth_method']", "files": FILES}, env=stale_env)
    assert inactive["method"] == "LEGACY_API_KEY"  # so the client believes, but it sends the token
    assert refusal(inactive["files"])[0] == 401
    assert {one.headers["Authorization"] for one in desk.kaggle.asked} == {"Bearer ***"}


def test_an_unknown_contest_is_404_or_403_and_a_search_finds_others_first(desk: Desk) -> None:
    step = "api.competition_list_files('titanik')"
    assert refusal(desk.ask(files=step)["files"])[0] == 404
    desk.kaggle.unknown_is_forbidden = True
    desk.kaggle.neighbours = ["titanic-two"]
    answers = desk.ask(
        files=step,
        address="api.competition_list_files('https://www.kaggle.com/competitions/titanic')",
        found="[one.ref for one in api.competitions_list(search='titanic').competitions]",
    )
    assert refusal(answers["files"])[0] == refusal(answers["address"])[0] == 403
    assert [ref.rsplit("/", 1)[-1] for ref in answers["found"]] == ["titanic-two", "titanic"]


def test_success_that_is_none_leaves_no_submission(desk: Desk) -> None:
    desk.kaggle.play("CreateSubmission", FALSE_SUCCESS).play("CreateSubmission", reply({"message": "Submitted"}))
    answers = desk.ask(zero=SUBMIT, bare=SUBMIT, listed=LIST)
    assert answers["zero"]["message"].startswith("Successfully submitted")
    assert answers["zero"]["ref"] == answers["bare"]["ref"] == 0
    assert not answers["listed"]


def test_a_submission_can_stay_pending_and_can_end_as_an_error(desk: Desk) -> None:
    desk.kaggle.contest.pending_polls = 4
    desk.kaggle.fail_scoring()
    answers = desk.ask(sent=SUBMIT, look0=LIST, look1=LIST, look2=LIST, look3=LIST, look4=LIST)
    looks = [answers[f"look{number}"][0] for number in range(5)]
    assert [look["status"] for look in looks] == ["PENDING"] * 4 + ["ERROR"]
    assert looks[-1]["errorDescription"] == "Evaluation Exception: Submission Scoring Error"


def test_busy_and_broken_servers_answer_with_a_page_and_perhaps_a_time(desk: Desk) -> None:
    for fault in (busy(), busy(retry_after=7), SERVER_ERROR, UNAVAILABLE):
        desk.kaggle.play("ListDataFiles", fault)
    answers = desk.ask(bare=FILES, dated=FILES, broken=FILES, away=FILES, well=FILES)
    codes = [answers[step]["code"] for step in ("bare", "dated", "broken", "away")]
    assert codes == [429, 429, 500, 503]
    assert answers["dated"]["headers"]["Retry-After"] == "7"
    assert "Retry-After" not in answers["bare"]["headers"]
    assert "<html>" in answers["broken"]["body"]
    assert len(answers["well"]) == 3


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_download_that_breaks_is_taken_up_again_by_range(desk: Desk, how: str) -> None:
    desk.kaggle.play("storage", cut(30_000, how)).play("storage", cut(at_random(seed=1), how))
    desk.ask(download=ONE)
    assert (desk.home / "train.csv").read_bytes() == desk.kaggle.contest.files["train.csv"]
    ranges = [one.headers.get("Range") for one in desk.kaggle.asked if one.endpoint == "storage"]
    assert len(ranges) == 3
    assert ranges[0] is None
    assert all(range_ is not None for range_ in ranges[1:])
    storage = [one for one in desk.kaggle.asked if one.endpoint == "storage"]
    assert "Authorization" not in storage[0].headers  # another host: no token goes there


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


def test_a_call_that_is_reset_fails_and_counts(desk: Desk) -> None:
    desk.kaggle.play("ListDataFiles", reset)
    answers = desk.ask(broken=FILES, well=FILES)
    assert answers["broken"]["failed"] in ("ConnectionError", "ChunkedEncodingError", "ProxyError")
    assert len(answers["well"]) == 3
    assert desk.kaggle.count("ListDataFiles") == 2


def test_an_upload_that_breaks_leaves_what_arrived_and_no_submission(desk: Desk) -> None:
    desk.kaggle.play("upload", cut_upload(500), times=NEVER_ENDS)
    answers = desk.ask(broken=SUBMIT)
    assert answers["broken"] == {"message": "Could not submit to competition", "ref": 0}
    (upload,) = desk.kaggle.uploads.values()
    assert len(upload[1]) == 500
    sizes = [one.size for one in desk.kaggle.asked if one.endpoint == "upload"]
    assert sizes == [500] * 11  # the client repeats it by itself: ten times, with pauses of six minutes in all
    assert desk.kaggle.count("CreateSubmission") == 0
    desk.kaggle.plays.clear()
    assert desk.ask(well=SUBMIT)["well"]["ref"] > 0


def test_a_lost_answer_leaves_the_submission_recorded(desk: Desk) -> None:
    desk.kaggle.play("CreateSubmission", lost_answer)
    answers = desk.ask(lost=SUBMIT, listed=LIST)
    assert "failed" in answers["lost"]
    assert [one["description"] for one in answers["listed"]] == ["mine"]


def test_an_archive_can_be_spoilt_at_its_right_size(desk: Desk) -> None:
    desk.kaggle.play("storage", spoil(5000))
    desk.ask(spoilt=ALL)
    spoilt = (desk.home / "titanic.zip").read_bytes()
    (desk.home / "titanic.zip").unlink()
    desk.ask(good=ALL)
    good = (desk.home / "titanic.zip").read_bytes()
    assert len(spoilt) == len(good)
    assert sum(a != b for a, b in zip(spoilt, good, strict=True)) == 1
    with zipfile.ZipFile(BytesIO(spoilt)) as archive, pytest.raises((zipfile.BadZipFile, zlib.error)):
        for name in archive.namelist():
            archive.read(name)


@pytest.mark.parametrize("endpoint", ["IntrospectToken", "storage"])
def test_a_server_that_hangs_holds_the_client_for_ever(desk: Desk, endpoint: str) -> None:
    desk.kaggle.play(endpoint, hang, times=NEVER_ENDS)
    with pytest.raises(subprocess.TimeoutExpired):
        desk.run({"download": ONE}, limit=3)
    assert desk.kaggle.count(endpoint) == 1


def test_a_download_can_crawl(desk: Desk) -> None:
    desk.kaggle.contest.files["test.csv"] = b"x" * 65_536
    desk.kaggle.play("storage", crawl(65_536 / 1.5))
    begun = time.monotonic()
    desk.ask(slow="api.competition_download_file('titanic', 'test.csv', path='.', quiet=True)")
    assert time.monotonic() - begun > 1.5
    assert (desk.home / "test.csv").stat().st_size == 65_536


def test_odd_names_and_windows_line_ends_arrive_unchanged(desk: Desk) -> None:
    windows_lines(desk.kaggle.contest)
    desk.kaggle.contest.files |= odd_files()
    steps = {f"file{number}": f"api.competition_download_file('titanic', {name!r}, path='odd/{number}', quiet=True)"
             for number, name in enumerate(ODD_NAMES)}  # fmt: skip
    answers = desk.run(
        {"everything": ALL, "listed": "api.competition_list_files('titanic', page_size=200).files"} | steps
    )
    assert {file["name"] for file in answers["listed"]} >= set(ODD_NAMES)
    with zipfile.ZipFile(desk.home / "titanic.zip") as archive:
        assert set(archive.namelist()) >= set(ODD_NAMES)
        assert archive.read("train.csv").endswith(b"\r\n")
    for number, name in enumerate(ODD_NAMES):
        (file,) = (desk.home / "odd" / str(number)).iterdir()
        assert file.read_bytes() == name.encode()


def test_archives_can_hold_whatever_a_test_needs(desk: Desk) -> None:
    names = {}
    for kind, archive in {"leaving": leaving_zip(), "nested": nested_zip()}.items():
        desk.kaggle.archive = archive
        desk.ask(fetched=f"api.competition_download_files('titanic', path='{kind}')")
        with zipfile.ZipFile(desk.home / kind / "titanic.zip") as fetched:
            names[kind] = fetched.namelist()
    assert {"../outside.txt", "/outside.txt", "link", "link/outside.txt"} <= set(names["leaving"])
    assert names["nested"] == ["train.csv", "images.zip", "deep.zip"]
    assert len(set(many_files(3000).values())) == 3000


def test_the_log_has_sizes_and_no_secret(desk: Desk) -> None:
    desk.ask(submit=SUBMIT)
    (upload,) = [one for one in desk.kaggle.asked if one.endpoint == "upload"]
    assert upload.size == (desk.home / "s.csv").stat().st_size
    log = "".join(map(str, desk.kaggle.asked))
    assert desk.kaggle.token not in log
    assert [one.endpoint for one in desk.kaggle.asked] == [
        "IntrospectToken", "StartSubmissionUpload", "upload", "CreateSubmission",
    ]  # fmt: skip
    assert isinstance(desk.kaggle.asked[0], Asked)


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
    FaultyKaggle(SMALL).score(one)
    assert one.status == "ERROR" and says in (one.error or "")


def test_a_scorer_that_cannot_read_the_predictions_makes_the_submission_an_error() -> None:
    def mean_absolute(labels: Sequence[str], rows: Sequence[tuple[str, ...]]) -> float:
        return sum(abs(float(label) - float(row[0])) for label, row in zip(labels, rows, strict=True)) / len(labels)

    kaggle = FaultyKaggle(replace(SMALL, scorer=mean_absolute, greater_is_better=False))
    good, bad = (
        Submission(1, "s.csv", "", f"id,label\na,{first}\nb,0\nc,1\nd,1\n".encode(), utc_now())
        for first in ("0.5", "yes")
    )
    for one in (good, bad):
        kaggle.score(one)
    assert (good.public, good.private) == (0.25, 0.0)
    assert bad.status == "ERROR" and "could not convert" in (bad.error or "")
