"""Small things of the Kaggle side: refusals in words, pauses, masks, medal places, credential sources."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from kgl.cli.main import _sentence
from kgl.errors import KglError
from kgl.findings import Finding
from kgl.journal import Event, append, latest
from kgl.online.checks import _ask
from kgl.online.client import Kaggle, time_limit
from kgl.online.credentials import in_force, masked, sources
from kgl.online.refusals import explain, is_passing, pause
from kgl.online.status import medal_places
from kgl.online.submit import describe, list_submissions, score_of
from kgl.paths import Workspace


def refused(status: int, message: str = "", *, reason: str = "", **headers: str) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers)
    response._content = json.dumps({"error": {"message": message, "details": [{"reason": reason}]}}).encode()
    return requests.HTTPError("400 Client Error", response=response)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (refused(403, "No.", reason="RulesAcceptanceRequired"), 3, "https://www.kaggle.com/competitions/titanic/rules"),
        (refused(403, "Please verify.", reason="IdentityVerificationRequired"), 3, "https://www.kaggle.com/settings"),
        (refused(400, "Your team has used its daily Submission allowance (5) today"), 3, "00:00 UTC"),
        (refused(400, "This competition only accepts Submissions from Notebooks"), 3, "kgl notebook"),
        (refused(400, "The competition deadline has passed"), 3, "takes no submissions now"),
        (refused(400, "Submission file is too large: limit of 500 MB exceeded"), 3, "too large"),
        (refused(404, "Competition not found"), 3, "compare slug"),
        (refused(418), 3, "no reason given (418)"),
        (UnicodeEncodeError("latin-1", "\ufeffKGAT_1", 0, 1, "ordinal not in range"), 3, "without a BOM"),
        (refused(403), 3, "does not exist, is private, or its rules are not accepted"),
        (refused(500, "boom"), 1, "500 boom"),
        (refused(429, Retry_After="3600"), 1, "slow down"),
        (requests.ConnectTimeout(), 1, "does not answer in time"),
        (requests.ConnectionError("refused"), 1, "no connection"),
        (requests.exceptions.SSLError("bad"), 1, "REQUESTS_CA_BUNDLE"),
    ],
)
def test_a_refusal_tells_the_reason_and_what_to_do(error: Exception, status: int, words: str) -> None:
    told = explain(error, "titanic")
    assert told.status == status
    assert words in told.message


def test_a_pause_is_what_the_server_asks_for_or_grows() -> None:
    assert [pause(refused(500), attempt) for attempt in (1, 2, 3, 9)] == [1.0, 2.0, 4.0, 60.0]
    assert pause(refused(429, **{"Retry-After": "7"}), 1) == 7.0
    assert pause(refused(429, **{"Retry-After": "3600"}), 1) is None
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (pause(refused(429, **{"Retry-After": soon}), 1) or 0) <= 30
    assert not is_passing(refused(400))


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_KEY", "abcdef0123456789")
    text = masked("Authorization: Bearer KGAT_abc123 and abcdef0123456789, X-Goog-Signature=0a1b2c3d4e5f")
    assert not any(secret in text for secret in ("KGAT_abc123", "abcdef0123456789", "0a1b2c3d4e5f"))


def test_a_token_longer_than_the_name_of_a_file_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", token := "KGAT_" + "secret" * 60)
    assert in_force().startswith("the token in the variable KAGGLE_API_TOKEN")
    assert explain(OSError(36, "File name too long", token), "titanic").message == (
        f"{in_force()} holds more than a token; save it again as plain text, without a BOM."
    )


def test_no_error_shows_a_signed_address() -> None:
    address = "http://storage.example/a.zip?X-Goog-Signature=0a1b2c3d4e5f"
    for error in (requests.HTTPError(f"404 Not Found for url: {address}"), ValueError(address)):
        assert "0a1b2c3d4e5f" not in _sentence(error)


def test_pages_that_lead_round_in_circles_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    following = iter("ABABABAB")
    answers = lambda *_, **__: SimpleNamespace(files=["f"], next_page_token=next(following))  # noqa: E731
    monkeypatch.setattr(Kaggle, "call", answers)
    assert Kaggle("titanic").every("list_data_files", "files") == ["f"] * 3


def test_doctor_tells_an_answer_that_it_cannot_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty: dict[str, str] = {}
    monkeypatch.setattr(Kaggle, "contest", lambda kaggle: empty["deadline"])
    asked: list[Finding] = []
    _ask("titanic", tmp_path, asked)
    assert [(one.level, "could not be read (KeyError" in one.what) for one in asked] == [("block", True)]


def test_what_kaggle_says_of_a_submission_keeps_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"description": "of KGAT_abc123", "error_description": "X-Goog-Signature=0a1b2c3d4e5f"}
    scores = {"public_score": "", "private_score": ""}
    one = SimpleNamespace(ref=1, date=None, status=SimpleNamespace(name="ERROR"), **said, **scores)
    monkeypatch.setattr(Kaggle, "every", lambda *_, **__: [one])
    (event,) = list_submissions(Kaggle("titanic"))
    assert (event.message, event.error) == ("of ***", "X-Goog-***")


@pytest.mark.parametrize(
    ("text", "score"),
    [("0.5", 0.5), ("-1.5e-05", -1.5e-05), (0.7, 0.7), *[(t, None) for t in ("", "n/a", "NaN", None)]],
)
def test_a_score_is_a_number_or_is_not_known(text: object, score: float | None) -> None:
    assert score_of(text) == score


def test_every_credential_source_is_found_in_the_order_of_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert sources() == []
    home = tmp_path / ".kaggle"
    home.mkdir()
    (home / "credentials.json").write_text('{"refresh_token": "r"}')
    (home / "kaggle.json").write_text('{"username": "u", "key": "k"}')
    (home / "access_token.txt").write_text("KGAT_1\n")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_2")
    assert [source.kind for source in sources()] == ["token", "token", "key", "OAuth login"]
    assert in_force().startswith("the token in the variable KAGGLE_API_TOKEN (it shadows ")
    assert "KGAT" not in in_force()


@pytest.mark.parametrize(
    ("teams", "gold", "silver", "bronze"),
    [
        (50, 5, 10, 20),
        (100, 10, 20, 40),
        (249, 10, 49, 99),
        (250, 10, 50, 100),
        (999, 11, 50, 100),
        (5000, 20, 250, 500),
    ],
)
def test_medal_places_follow_the_published_table(teams: int, gold: int, silver: int, bronze: int) -> None:
    assert medal_places(teams) == {"gold": gold, "silver": silver, "bronze": bronze}


def test_a_description_keeps_to_safe_characters_and_keeps_the_mark() -> None:
    text = describe("blend-001", "0123456789abcdef", 0.5, "a|b/c: ü " + "x" * 500)
    assert text.startswith("blend-001 cv=0.50000 sha=0123456789ab a b c x")
    assert len(text) <= 200


def test_the_last_line_of_a_submission_is_how_it_stands(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    append(workspace, Event(1, "a", "", "", ""))
    append(workspace, Event(2, "b", "", "", ""))
    workspace.submissions.write_bytes(workspace.submissions.read_bytes().rstrip())  # an editor took the line's end
    append(workspace, Event(1, "a", "", "", "", "complete", 0.5))
    assert [(event.ref, event.public_score) for event in latest(workspace).values()] == [(1, 0.5), (2, None)]
    workspace.submissions.write_text("<<<<<<< HEAD\n")
    with pytest.raises(KglError, match="line 1"):
        latest(workspace)


def test_a_submission_of_a_newer_engine_is_read_and_one_in_another_code_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    append(workspace, Event(1, "a", "", "", ""))
    line = workspace.submissions.read_bytes()
    workspace.submissions.write_bytes(b"\xef\xbb\xbf" + line.replace(b"{", b'{"new_key": 1, '))
    assert latest(workspace) == {1: Event(1, "a", "", "", "")}
    workspace.submissions.write_bytes(line + line.replace(b'"a"', b'"\xff"'))
    with pytest.raises(KglError, match="line 2"):
        latest(workspace)


def test_the_time_limit_ends_with_its_block() -> None:
    before = requests.adapters.HTTPAdapter.send
    with pytest.raises(requests.RequestException), time_limit(0.01):
        requests.get("http://192.0.2.1/")  # an address that leads nowhere
    assert requests.adapters.HTTPAdapter.send is before


def test_a_pasted_address_is_met_with_the_slug_to_write() -> None:
    with pytest.raises(KglError, match='write "titanic"'):
        Kaggle("https://www.kaggle.com/competitions/titanic/overview")
