"""Every trouble with Kaggle, through the real client: what the user sees, the exit status, and that nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
from filelock import FileLock

from kgl.rehearsal.titanic import sample_contest
from tests.baking import ROOT, WORKSPACE
from tests.kaggle_faults import (
    NEVER_ENDS,
    FaultyExchange,
    FaultyKaggle,
    at_random,
    crawl,
    cut,
    hang,
    refuse,
    reply,
)
from tests.kaggle_files import many_files
from tests.online_desk import Desk, assert_one_sentence
from tests.online_table import LOST, TROUBLES, Trouble, markdown

# Linux counts what the parent held when it forked into ru_maxrss; VmHWM is the process's own.
PEAK = """
import atexit, pathlib, re, resource
def peak():
    status = pathlib.Path("/proc/self/status")
    own = re.search(r"VmHWM:\\s+(\\d+)", status.read_text()) if status.exists() else None
    return own[1] if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
atexit.register(lambda: print("peak", peak()))
"""

Outcomes = dict[str, Future[None]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with FaultyKaggle(sample_contest()) as kaggle:
        yield Desk(kaggle, tmp_path)


def test_the_table_of_the_documentation_is_the_one_that_is_tested() -> None:
    assert markdown() in (ROOT / "docs" / "kaggle.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[None]]]:
    """The rows of the table that were asked for, two at once: each has a Kaggle, a home and processes of its own."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and "row" in item.fixturenames]
    rows = [row for item in items if isinstance(row := item.callspec.params["row"], Trouble)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {name_of(row): pool.submit(play, row, tmp_path_factory.mktemp("trouble")) for row in rows}
        pool.shutdown(cancel_futures=True)


def name_of(row: Trouble) -> str:
    return f"{row.trouble}: {row.command.split()[1]}"


def play(row: Trouble, home: Path) -> None:
    with FaultyKaggle(sample_contest()) as kaggle:
        desk = Desk(kaggle, home)
        if "submit" in row.command:
            desk.add_run()
        row.setup(desk)
        done = desk.kgl(*row.command.split()[1:])
        assert_one_sentence(done, row.sees, row.status)
        row.mend(desk)
        LOST[row.lost](desk)


@pytest.mark.parametrize("row", TROUBLES, ids=name_of)
def test_trouble_is_explained_and_nothing_is_lost(played: Outcomes, row: Trouble) -> None:
    played[name_of(row)].result()


def test_a_download_cut_twenty_times_ends_bit_identical(desk: Desk) -> None:
    desk.kaggle.contest.files["noise.bin"] = Random(0).randbytes(5_000_000)
    desk.kaggle.play("storage", cut(at_random(3), "reset"), times=10).play("storage", cut(at_random(4)), times=10)
    done = desk.kgl("download")
    assert done.returncode == 0, done.stderr
    assert desk.kaggle.count("storage") >= 21
    assert desk.data() == desk.expected()
    ranges = [asked.headers["Range"] for asked in desk.kaggle.asked if "Range" in asked.headers]
    assert len(ranges) >= 10


def test_a_download_that_is_killed_goes_on_where_it_was(desk: Desk) -> None:
    desk.kaggle.contest.files["noise.bin"] = Random(0).randbytes(5_000_000)
    part = desk.raw / "titanic.zip.part"
    desk.kaggle.play("storage", crawl(1_500_000), times=NEVER_ENDS)
    for _ in range(3):
        before = part.stat().st_size if part.exists() else 0
        with desk.start("download") as process:
            while not part.exists() or part.stat().st_size <= before:
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
            process.kill()
        assert part.stat().st_size > before
    desk.kaggle.plays.clear()
    assert desk.kgl("download").returncode == 0
    assert desk.kaggle.asked[-1].headers["Range"].startswith("bytes=")
    assert desk.data() == desk.expected()


def test_a_file_that_changes_while_it_is_fetched_is_fetched_from_its_beginning(desk: Desk) -> None:
    desk.kaggle.contest.files = {"one.bin": Random(0).randbytes(3_000_000)}
    desk.kaggle.play("storage", cut(2_000_000)).play("storage", cut(0), times=NEVER_ENDS)
    assert desk.kgl("download").returncode == 1
    desk.kaggle.plays.clear()
    desk.kaggle.contest.files = {"one.bin": Random(1).randbytes(3_000_000)}
    assert desk.kgl("download").returncode == 0
    assert desk.data() == desk.expected()


def test_a_second_download_at_the_same_time_is_refused(desk: Desk) -> None:
    desk.raw.mkdir(parents=True)
    with FileLock(desk.raw / ".kgl-lock"):
        done = desk.kgl("download")
    assert (done.returncode, "another kgl download is at work" in done.stderr) == (1, True)


def test_of_two_submissions_at_once_one_is_sent(desk: Desk) -> None:
    desk.add_run()
    desk.patience = 20.0

    def slow(exchange: FaultyExchange) -> bool:
        time.sleep(3.0)
        return False

    desk.kaggle.play("StartSubmissionUpload", slow, times=NEVER_ENDS)
    with desk.start("submit", "everybody-001", "--yes") as first, desk.start("submit", "everybody-001", "--yes") as two:
        ends = {process.communicate(timeout=60)[1]: process.returncode for process in (first, two)}
    assert sorted(ends.values()) == [0, 1]
    refused = next(said for said, status in ends.items() if status)
    assert "kgl submit is held by" in refused or "the same content was sent already" in refused
    assert len(desk.kaggle.submissions) == 1


def test_a_list_without_files_is_no_success(desk: Desk) -> None:
    desk.kaggle.play("ListDataFiles", reply({"error": {"code": 500}}), times=NEVER_ENDS)
    done = desk.kgl("download")
    assert (done.returncode, "Kaggle lists no files" in done.stderr) == (1, True), done.stderr


def test_a_storage_that_refuses_is_told_without_its_signed_address(desk: Desk) -> None:
    desk.kaggle.contest.files = {"one.bin": Random(0).randbytes(3_000_000)}
    desk.kaggle.play("storage", cut(1_000_000)).play("storage", crawl(0)).play("storage", refuse(404, ""))
    done = desk.kgl("download")
    assert (done.returncode, "signature" in done.stderr) == (1, False)
    assert "one.bin: the storage refused it (404). What came is kept" in done.stderr
    part = desk.raw / "one.bin.part"
    part.write_bytes(part.read_bytes() + bytes(4_000_000))  # more than there is
    assert desk.kgl("download").returncode == 0
    assert desk.data() == desk.expected()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to a child there")
def test_ctrl_c_while_the_score_is_awaited_loses_nothing(desk: Desk) -> None:
    desk.add_run()
    desk.kaggle.contest.pending_polls = 10**6
    with desk.start("submit", "everybody-001", "--yes") as process:
        while not desk.events():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "kgl status picks up its score" in error
    desk.kaggle.contest.pending_polls = 0
    assert desk.kgl("status").returncode == 0
    pending, scored = desk.events()
    assert (pending["status"], scored["status"]) == ("pending", "complete")
    assert scored["run"] == "everybody-001"


def test_status_shows_an_unknown_word_as_it_is_and_medals_only_where_there_are_some(desk: Desk) -> None:
    desk.add_run()
    desk.kaggle.word = "QUEUED_AGAIN"
    assert desk.kgl("submit", "everybody-001", "--yes").returncode == 0
    shown = desk.kgl("status").stdout
    assert "queued_again" in shown and "no medals here" in shown and "top  " in shown and "bronze" not in shown
    desk.kaggle.word, desk.kaggle.facts = "", {"awardsPoints": True}
    assert desk.events()[-1]["status"] == "queued_again"
    shown = desk.kgl("status").stdout
    assert " complete" in shown and "no medals here" not in shown and "bronze  " in shown
    assert desk.events()[-1]["status"] == "complete"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to a child there")
def test_ctrl_c_in_mid_download_keeps_the_part(desk: Desk) -> None:
    desk.kaggle.contest.files["noise.bin"] = Random(0).randbytes(5_000_000)
    desk.kaggle.play("storage", crawl(2_000_000))
    part = desk.raw / "titanic.zip.part"
    with desk.start("download") as process:
        while not part.exists() or part.stat().st_size < 100_000:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert part.stat().st_size >= 100_000
    assert desk.kgl("download").returncode == 0
    assert desk.data() == desk.expected()


@pytest.mark.parametrize("fault", [hang, crawl(1)], ids=["silent", "a byte a second"])
def test_doctor_ends_in_time_when_kaggle_hangs(desk: Desk, fault: object) -> None:
    desk.kaggle.play("*", fault, times=NEVER_ENDS)  # type: ignore[arg-type]
    began = time.monotonic()
    done = desk.kgl("doctor", "--json")
    assert time.monotonic() - began < 25
    assert done.returncode == 1
    assert any("answer" in finding["what"] for finding in json.loads(done.stdout) if finding["level"] == "block")


@pytest.fixture(scope="module")
def patient_doctor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[float]]:
    """How long `kgl doctor` takes with its own limits; it waits, while other tests run."""

    def consult(home: Path) -> float:
        with FaultyKaggle(sample_contest()) as kaggle:
            desk = Desk(kaggle, home)
            kaggle.play("*", hang, times=NEVER_ENDS)
            command, began = [sys.executable, "-m", "kgl", "doctor"], time.monotonic()
            env = {**desk.env, "PYTHONPATH": str(WORKSPACE)}
            done = subprocess.run(command, cwd=desk.root, env=env, timeout=120, capture_output=True, text=True)
            assert done.returncode == 1
            return time.monotonic() - began

    with ThreadPoolExecutor() as pool:
        yield pool.submit(consult, tmp_path_factory.mktemp("doctor"))


@pytest.fixture(scope="module", autouse=True)
def begin_early(request: pytest.FixtureRequest) -> None:
    if any("patient_doctor" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("patient_doctor")


def test_doctor_with_its_own_limits_ends_within_a_minute(patient_doctor: Future[float]) -> None:
    assert patient_doctor.result() < 60


def test_no_secret_is_in_a_file_a_message_or_the_process_list(desk: Desk) -> None:
    desk.add_run()
    secrets = [desk.kaggle.token, desk.kaggle.key]
    desk.env |= {"KAGGLE_USERNAME": desk.kaggle.username, "KAGGLE_KEY": desk.kaggle.key, "VERBOSE": "true"}
    for command in ("doctor", "doctor --json", "download", "submit everybody-001 --yes", "status --json", "download x"):
        desk.kgl(*command.split(), "--debug")
    with desk.start("download") as process:
        if sys.platform == "linux":
            while b"download" not in (line := Path(f"/proc/{process.pid}/cmdline").read_bytes()):
                time.sleep(0.01)
            desk.outputs.append(line.decode())
        process.communicate()
    desk.kaggle.token = "KGAT_" + "1" * 32  # so that the one in use is refused
    desk.outputs.append(desk.kgl("download", "--debug").stderr)
    files = [path.read_bytes().decode("utf-8", "replace") for path in desk.home.rglob("*") if path.is_file()]
    for secret in secrets:
        assert not any(secret in text for text in [*files, *desk.outputs])


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource")
def test_memory_stays_small_while_a_large_archive_is_fetched_and_unpacked(desk: Desk) -> None:
    desk.kaggle.contest.files |= {"big.bin": os.urandom(150 << 20), **many_files(500)}
    desk.more, desk.patience = PEAK, 60.0
    done = desk.kgl("download")
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.split("peak ")[1]) / (1 << 10 if sys.platform == "linux" else 1 << 20)  # MiB
    assert peak < 130  # without the 150 MiB of the file
    assert desk.data() == desk.expected()
