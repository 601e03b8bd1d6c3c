"""Every trouble with Kaggle: how it is played, what the user sees, the exit status, and what is lost.

This is the table of docs/kaggle.md and of test_online_faults.py at once; `python -m tests.online_table` prints it.
"""
# ruff: noqa: E501  (a row of the table is a line)

from collections.abc import Callable
from dataclasses import dataclass

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
    at_random,
    busy,
    cut,
    cut_upload,
    hang,
    lost_answer,
    refuse,
    reply,
    reset,
    spoil,
)
from tests.kaggle_files import leaving_zip, nested_zip, odd_files, windows_lines
from tests.online_desk import Desk

Setup = Callable[[Desk], object]
BROKEN = 15_000  # a byte within the archive of the sample contest


@dataclass(frozen=True)
class Trouble:
    """One row. `sees` is part of the message; `lost` is a key of LOST; `mend` undoes the trouble before that is checked."""

    trouble: str
    setup: Setup
    command: str
    sees: str
    status: int
    lost: str
    mend: Setup = lambda desk: desk.kaggle.plays.clear()


def all_whole(desk: Desk) -> None:
    """The same command, without the trouble, ends with every file bit by bit."""
    done = desk.kgl("download")
    assert done.returncode == 0, done.stderr
    assert desk.data() == desk.expected()


def no_slot(desk: Desk) -> None:
    """Nothing was submitted, and nothing is noted."""
    assert not desk.kaggle.submissions
    assert not desk.events()


def one_slot(desk: Desk) -> None:
    """One submission, with the content that was meant, and it is noted."""
    (sent,) = desk.kaggle.submissions
    assert sent.content == (desk.root / "runs" / "everybody-001" / "submission.csv").read_bytes()
    assert {event["ref"] for event in desk.events()} == {sent.ref}


def whole_now(desk: Desk) -> None:
    """Every file is there already, bit by bit."""
    assert desk.data() == desk.expected()


def outside_untouched(desk: Desk) -> None:
    """No file was written at all."""
    assert not [name for name in desk.data() if not name.endswith((".part", ".part.of"))]
    assert not list(desk.home.rglob("outside.txt"))


def edit_kept(desk: Desk) -> None:
    """The user's file is as it was."""
    assert (desk.raw / "test.csv").read_text() == "mine"


LOST = {
    "nothing: every file is there": whole_now,
    "nothing: the same command goes on": all_whole,
    "nothing: no slot is used": no_slot,
    "nothing: one slot, used once": one_slot,
    "nothing: no file is written": outside_untouched,
    "nothing: your file stays": edit_kept,
}
WHOLE, GOES_ON, NO_SLOT, ONE_SLOT, UNWRITTEN, KEPT = LOST


def play(endpoint: str, fault: Callable[..., bool], *, times: float = NEVER_ENDS, after: int = 0) -> Setup:
    return lambda desk: desk.kaggle.play(endpoint, fault, times=times, after=after)


def env(**variables: str) -> Setup:
    """Variables of the environment; an empty one is removed."""

    def setup(desk: Desk) -> None:
        desk.env.update(variables)
        for name in [name for name, value in variables.items() if not value]:
            del desk.env[name]

    return setup


def fresh_env(desk: Desk) -> None:
    desk.env = desk.kaggle.environment(desk.home)


def stale_token(desk: Desk) -> None:
    desk.env = desk.kaggle.stale_environment(desk.home)


def entered(value: bool) -> Setup:
    return lambda desk: setattr(desk.kaggle.contest, "entered", value)


def refused_bare(desk: Desk) -> None:
    entered(False)(desk)
    desk.kaggle.play("DownloadDataFiles", refuse(403, ""), times=NEVER_ENDS)


def rules_accepted(desk: Desk) -> None:
    entered(True)(desk)
    desk.kaggle.plays.clear()


def slug(text: str) -> Setup:
    def setup(desk: Desk) -> None:
        path = desk.root / "competition.toml"
        path.write_text(f'slug = "{text}"\n' + path.read_text().partition("\n")[2])

    return setup


def unknown_forbidden(desk: Desk) -> None:
    desk.kaggle.unknown_is_forbidden = True
    slug("titanci")(desk)


def outside(desk: Desk) -> None:
    desk.kaggle.archive = leaving_zip()


def nested(desk: Desk) -> None:
    desk.kaggle.archive = nested_zip()


def odd(desk: Desk) -> None:
    windows_lines(desk.kaggle.contest)
    desk.kaggle.contest.files |= odd_files()


def small_disk(desk: Desk) -> None:
    desk.more = "import shutil, collections; shutil.disk_usage = lambda path: collections.namedtuple('D', 'free')(100)"


def big_disk(desk: Desk) -> None:
    desk.more = ""


def edit(desk: Desk) -> None:
    desk.kgl("download")
    (desk.raw / "test.csv").write_text("mine")


def limit(count: int) -> Setup:
    return lambda desk: setattr(desk.kaggle.contest, "daily_limit", count)


def limit_hidden(desk: Desk) -> None:
    desk.kaggle.play("GetSubmissionLimits", reply({"numAllowedNow": 1, "numToday": 9}))
    desk.kaggle.play("CreateSubmission", FALSE_SUCCESS)
    limit(0)(desk)


def sent_before(desk: Desk) -> None:
    assert desk.kgl("submit", "everybody-001", "--yes").returncode == 0


def bad_file(desk: Desk) -> None:
    path = desk.root / "runs" / "everybody-001" / "submission.csv"
    path.write_text(path.read_text() + "99999,0\n")


def never_scored(desk: Desk) -> None:
    desk.kaggle.contest.pending_polls = 10**6


def unknown_word(desk: Desk) -> None:
    desk.kaggle.word = "QUEUED_AGAIN"


def nothing(desk: Desk) -> None:
    """No trouble, or none that goes away."""


GET, SEND = "kgl download", "kgl submit everybody-001 --yes"
NO_ROUTE = "http://127.0.0.1:9"
TROUBLES = [
    Trouble("rules not accepted", entered(False), GET, "https://www.kaggle.com/competitions/titanic/rules", 3, GOES_ON, entered(True)),
    Trouble("rules not accepted", entered(False), SEND, "https://www.kaggle.com/competitions/titanic/rules", 3, NO_SLOT),
    Trouble("refused (403) without a reason, rules not accepted", refused_bare, GET, "have not accepted the rules", 3, GOES_ON, rules_accepted),
    Trouble("no credentials", env(KAGGLE_API_TOKEN=""), GET, "no Kaggle credentials found. Create a token at https://www.kaggle.com/settings", 3, GOES_ON, fresh_env),
    Trouble("a token that Kaggle does not accept", play("*", BAD_TOKEN), GET, "does not accept the token in the variable KAGGLE_API_TOKEN", 3, GOES_ON),
    Trouble("a token that was revoked", play("IntrospectToken", INACTIVE_TOKEN), GET, "does not accept the token in the variable KAGGLE_API_TOKEN", 3, GOES_ON),
    Trouble("an old token in front of good keys", stale_token, GET, "it shadows the variables KAGGLE_USERNAME and KAGGLE_KEY", 3, GOES_ON, fresh_env),
    Trouble("identity not verified", play("DownloadDataFiles", IDENTITY), GET, "Verify phone or identity at https://www.kaggle.com/settings", 3, GOES_ON),
    Trouble("phone not verified", play("StartSubmissionUpload", PHONE), SEND, "Verify phone or identity at https://www.kaggle.com/settings", 3, NO_SLOT),
    Trouble("a contest that does not exist (404)", slug("titanci"), GET, 'it knows no such thing as "titanci"', 3, GOES_ON, slug("titanic")),
    Trouble("a contest that does not exist (403)", unknown_forbidden, GET, 'the contest "titanci" does not exist, is private', 3, GOES_ON, slug("titanic")),
    Trouble("an address in place of the slug", slug("https://www.kaggle.com/competitions/titanic/data"), GET, 'write "titanic" there', 2, GOES_ON, slug("titanic")),
    Trouble("Kaggle asks to slow down (429) for a moment", play("*", busy(retry_after=7), times=3), GET, "next try in 7 s", 0, WHOLE),
    Trouble("Kaggle asks to slow down (429) for an hour", play("ListDataFiles", busy(retry_after=3600)), GET, "asks to slow down (429)", 1, GOES_ON),
    Trouble("Kaggle fails (500) now and then", play("*", SERVER_ERROR, times=3), GET, "next try in", 0, WHOLE),
    Trouble("Kaggle fails (503) all the time", play("ListDataFiles", UNAVAILABLE), GET, "Kaggle has trouble (503", 1, GOES_ON),
    Trouble("the storage fails (503) now and then", play("storage", UNAVAILABLE, times=2), GET, "3 fetched now", 0, WHOLE),
    Trouble("no network", env(HTTP_PROXY=NO_ROUTE, http_proxy=NO_ROUTE), GET, "no connection to Kaggle", 1, GOES_ON, fresh_env),
    Trouble("Kaggle does not answer", play("*", hang), GET, "Kaggle does not answer in time", 1, GOES_ON),
    Trouble("the connection breaks in mid-download", play("storage", cut(at_random(1), "reset"), times=5), GET, "3 fetched now", 0, WHOLE),
    Trouble("the download is cut short", play("storage", cut(at_random(2)), times=5), GET, "3 fetched now", 0, WHOLE),
    Trouble("the download stands still", play("storage", cut(BROKEN, "hang"), times=2), GET, "3 fetched now", 0, WHOLE),
    Trouble("the download never gets on", play("storage", cut(0)), GET, "They are kept; run this again", 1, GOES_ON),
    Trouble("an archive of the right size is corrupt", play("storage", spoil(BROKEN), times=1), GET, "arrived corrupt; it is fetched once more", 0, WHOLE),
    Trouble("an archive is corrupt each time", play("storage", spoil(BROKEN)), GET, "arrived corrupt twice", 1, GOES_ON),
    Trouble("an archive holds links and paths that lead outside", outside, GET, "refused, nothing was unpacked", 1, UNWRITTEN),
    Trouble("Windows' line ends and odd file names", odd, GET, "14 fetched now", 0, WHOLE),
    Trouble("the disk is too small", small_disk, GET, "free and", 1, GOES_ON, big_disk),
    Trouble("a file was edited since", edit, GET, "test.csv: edited since the download, and left as it is; --force", 2, KEPT),
    Trouble("a pattern that matches nothing", nothing, GET + " trian.csv", "Did you mean 'train.csv'", 2, GOES_ON),
    Trouble("a bad submission file", bad_file, SEND, "nothing was sent", 1, NO_SLOT),
    Trouble("a file that was sent already", sent_before, SEND, "the same content was sent already: everybody-001", 1, ONE_SLOT),
    Trouble("no terminal to ask on", nothing, "kgl submit everybody-001", "add --yes", 2, NO_SLOT),
    Trouble("the day's allowance is used up", limit(0), SEND, "the allowance is back at 00:00 UTC", 3, NO_SLOT),
    Trouble("... and Kaggle says so only at the end", play("CreateSubmission", DAILY_LIMIT), SEND, "The day's allowance is back at 00:00 UTC", 3, NO_SLOT),
    Trouble('... and Kaggle says "Successfully submitted"', limit_hidden, SEND, "no submission left today", 3, NO_SLOT),
    Trouble('"Successfully submitted", and nothing is there', play("CreateSubmission", FALSE_SUCCESS), SEND, "but the submission is not there", 1, NO_SLOT),
    Trouble("a code competition", lambda desk: desk.kaggle.notebooks_only(), SEND, "takes notebooks only", 3, NO_SLOT),
    Trouble("a contest that is closed", lambda desk: desk.kaggle.refuse_submissions(), SEND, "takes no submissions now", 3, NO_SLOT),
    Trouble("the connection breaks in mid-upload", play("upload", cut_upload(1000), times=2), SEND, "public 0.", 0, ONE_SLOT),
    Trouble("the upload breaks each time", play("upload", cut_upload(1000)), SEND, "nothing was submitted (no slot is used)", 1, NO_SLOT),
    Trouble("the answer to a submission is lost", play("CreateSubmission", lost_answer, times=1), SEND, "public 0.", 0, ONE_SLOT),
    Trouble("Kaggle fails (500) before it submits", play("CreateSubmission", SERVER_ERROR, times=2), SEND, "public 0.", 0, ONE_SLOT),
    Trouble("the connection breaks before it submits", play("CreateSubmission", reset, times=2), SEND, "public 0.", 0, ONE_SLOT),
    Trouble("Kaggle fails (500) while the score is awaited", play("ListSubmissions", SERVER_ERROR, times=6, after=2), SEND, "public 0.", 0, ONE_SLOT),
    Trouble("no score for a long time", never_scored, SEND, "still pending (ref", 0, ONE_SLOT),
    Trouble("Kaggle cannot score the file", lambda desk: desk.kaggle.fail_scoring(), SEND, "Kaggle could not score the file: Evaluation Exception", 1, ONE_SLOT),
    Trouble("the score stands at a word that is not known", unknown_word, SEND, "still pending (ref", 0, ONE_SLOT),
    Trouble("the leaderboard is hidden (403)", play("GetLeaderboard", refuse(403, "")), "kgl status", "Kaggle does not show the leaderboard", 0, NO_SLOT),
]  # fmt: skip


def markdown() -> str:
    """The table as docs/kaggle.md has it."""
    rows = [f"| {t.trouble} | `{t.command}` | ...{t.sees}... | {t.status} | {t.lost} |" for t in TROUBLES]
    return "\n".join(
        ["| trouble | command | what you see | exit status | what is lost |", "|---|---|---|---|---|", *rows]
    )


if __name__ == "__main__":
    print(markdown())
