"""Each fault plays as it is meant to, against the real, unmodified client."""

import json
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest

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
        found = (desk.home / "odd" / str(number)).rglob("*")  # clients from 2.2.5 on keep folders
        (file,) = [path for path in found if path.is_file()]
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
