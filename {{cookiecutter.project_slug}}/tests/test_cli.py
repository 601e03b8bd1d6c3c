"""The commands as people and programs meet them: help, last lines, exit statuses, one sentence for an error."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from kgl.cli.main import MODULES
from tests.conftest import ENGINE, Tiny, takes_less_than

HEAVY = {"pandas", "sklearn", "lightgbm", "scipy", "torch", "kaggle", "joblib"}


def imported(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> set[str]:
    """The packages that a command imports."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    lines = [line for line in tiny.kgl_process(*arguments).err.splitlines() if line.startswith("import time:")]
    monkeypatch.delenv("PYTHONPROFILEIMPORTTIME")
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_help_lists_the_way_to_a_score_first_and_is_quick(tiny: Tiny) -> None:
    assert takes_less_than(0.3, lambda: tiny.kgl_process("--help"))
    result = tiny.kgl_process("--help")
    assert result.status == 0
    listed = [
        line.split()[0] for line in result.out.splitlines() if line.startswith("  ") and line.split()[0] in MODULES
    ]
    assert listed[:4] == ["download", "baseline", "board", "submit"] and {"train", "blend", "predict"} <= set(listed)
    assert tiny.kgl().out == result.out


def test_commands_import_no_more_than_they_need(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not imported(tiny, monkeypatch, "--help") & {*HEAVY, "numpy", "pyarrow"}
    trained = imported(tiny, monkeypatch, "baseline")
    assert "sklearn" in trained and not trained & {"kaggle", "kagglesdk", "torch"}
    tiny.kgl("board")  # verdicts are kept
    assert not imported(tiny, monkeypatch, "board") & HEAVY
    assert not imported(tiny, monkeypatch, "predict", "blend-001") & {"kaggle", "kagglesdk", "torch"}


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["trian"], 2, "kgl trian: there is no command 'trian'. Did you mean 'train'? See kgl --help."),
        (["train"], 2, "kgl train: Missing argument 'NAME... [key=value...]'."),
        (["train", "seeds=0"], 2, "kgl train: name an experiment: kgl train NAME [key=value...]."),
        (["train", "logistic", "--wrkers", "2"], 2, "kgl train: No such option '--wrkers'. Did you mean '--workers'?"),
        (["train", "logistic", "sedes=0"], 2, "kgl train: Tabular: unknown key 'sedes'. Did you mean 'seeds'?"),
        (["train", "logistic", "params.c=0"], 2, "kgl train: params of LogisticRegression: unknown key 'c'. Did you"),
        (["train", "logistic", "params.C=x"], 1, "kgl train: logistic: fold 0, seed 0: InvalidParameterError: The 'C'"),
        (
            ["train", "logistic", "model=lightgbm", "params.lerning_rate=1"],
            2,
            "kgl train: params of lightgbm: unknown key",
        ),
        (["train", "nothing"], 2, "kgl train: no experiment 'nothing' in experiments/."),
        (["baseline", "--minutes", "-1"], 2, "kgl baseline: Invalid value for '--minutes'"),
        (["board", "a", "b", "c"], 2, "kgl board: kgl board takes no run, one, or two to compare."),
        (["predict"], 2, "kgl predict: Missing argument 'RUN'."),
    ],
)
def test_an_error_is_one_sentence_on_standard_error(
    tiny: Tiny, arguments: list[str], status: int, sentence: str
) -> None:
    result = tiny.kgl(*arguments)
    assert (result.status, result.out) == (status, "")
    last = result.err.splitlines()[-1]
    assert last.startswith(sentence) and "Traceback" not in result.err
    assert all(line == last or line.startswith("folds: ") for line in result.err.splitlines())


def test_outside_of_a_workspace_it_says_so(tiny: Tiny) -> None:
    (tiny.root / "competition.toml").unlink()
    result = tiny.kgl("board")
    assert result.status == 2 and result.err.startswith("kgl board: no competition.toml in ")


def test_commands_work_from_a_folder_below(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.root / "experiments")
    below = Tiny(tiny.root / "experiments")
    assert below.kgl("train", "constant").name == "constant-001" and (tiny.root / "runs/constant-001").is_dir()


def test_the_last_line_of_standard_output_is_the_runs_name(tiny: Tiny) -> None:
    two = tiny.kgl("train", "constant", "logistic")
    assert two.name == "logistic-001" and "constant-001" in two.out.splitlines()
    assert tiny.kgl("train", "constant").name == "constant-001"  # also where nothing was left to do
    assert tiny.kgl("blend").name == "blend-001"
    assert tiny.kgl("train", "logistic", "folds=1", "seeds=1").name == "logistic-002"
    baseline = tiny.kgl("baseline")
    assert baseline.name == "blend-001" and baseline.out.splitlines()[-2].startswith("Next: ")


def test_baseline_goes_from_nothing_to_a_checked_submission(tiny: Tiny) -> None:
    tiny.write(
        "experiments/broken.py",
        "from kgl.tabular import Tabular\n\nexperiment = Tabular(model='logistic', drop=('x',))\n",
    )
    result = tiny.kgl("baseline")
    assert result.status == 0 and result.name == "blend-001"
    assert "folds: 3 folds, scheme stratified, written to data/folds.parquet" in result.err
    assert "broken: failed: drop or columns: the rows have no column 'x'." in result.err
    assert result.err.rstrip().endswith(
        "without broken, which failed: the reason stands above, and in its run's log.txt"
    )
    assert "submission: runs/blend-001/submission.csv, 20 rows, checked" in result.err
    lines = result.out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == [
        "constant-001",
        "logistic-001",
        "blend-001",
    ] and "CV 0." in lines[0]
    again = tiny.kgl("baseline")
    assert again.out == result.out and again.err.count("is this very") == 3  # nothing is trained twice


def test_baseline_trains_what_competition_toml_names_within_its_minutes(tiny: Tiny) -> None:
    facts = (tiny.root / "competition.toml").read_text()
    tiny.write(
        "competition.toml", facts + '\n[baseline]\nexperiments = ["logistic", "constant"]\nminutes = 0.0000001\n'
    )
    limited = tiny.kgl("baseline")
    assert limited.status == 0 and "constant: left out, the time is over" in limited.err
    assert "constant-001" in tiny.kgl("baseline", "--minutes", "0").out
    for name in ("logistic", "constant"):
        tiny.write(f"experiments/{name}.py", "raise RuntimeError('no')\n")
    failed = tiny.kgl("baseline")
    assert failed.status == 1 and "every experiment of the baseline failed; the reasons stand above" in failed.err


def test_train_tells_the_score_and_what_to_do_next(tiny: Tiny) -> None:
    result = tiny.kgl("train", "logistic", "-m", "first")
    run = json.loads((tiny.root / "runs/logistic-001/run.json").read_text())
    assert f"logistic-001           CV {run['cv_score']:.5f} ± {run['cv_std']:.5f}" in result.out
    assert result.err.splitlines()[-1] == "Next: uv run kgl board logistic-001"
    second = tiny.kgl("train", "logistic", "params.C=0.1")
    assert second.err.splitlines()[-1] == "Next: uv run kgl board logistic-002 logistic-001"
    assert "params.C" in tiny.kgl("board").out
    compared = tiny.kgl("board", "logistic-002", "logistic-001").out
    assert "changed: params.C=0.1" in compared
    assert tiny.kgl("train", "constant", "--parent", "logistic-003").status == 2
    assert tiny.kgl("train", "constant", "--parent", "logistic-001").status == 0
    assert json.loads((tiny.root / "runs/constant-001/run.json").read_text())["parent"] == "logistic-001"


@pytest.mark.skipif(sys.platform == "win32", reason="has no such shell")
def test_streams_that_are_closed_are_as_good_as_none(tiny: Tiny) -> None:
    kgl = f"{shlex.quote(sys.executable)} -m kgl"
    env = {**os.environ, "PYTHONPATH": str(ENGINE), "PYTHONDONTWRITEBYTECODE": "1"}
    for command, status in ((f"{kgl} train constant <&- >&- 2>&-", 0), (f"{kgl} submit <&-", 2)):
        done = subprocess.run(command, shell=True, cwd=tiny.root, env=env, capture_output=True, text=True)
        assert (done.returncode, "Error" in done.stderr) == (status, False), done.stderr
