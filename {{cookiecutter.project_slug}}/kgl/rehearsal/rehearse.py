"""`kgl rehearse`: the commands of a first evening against the practice Kaggle, in a workspace that is thrown away."""

import shutil
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from kgl.child import run_kgl
from kgl.competition import load_competition
from kgl.errors import KglError
from kgl.paths import Workspace, write_text
from kgl.rehearsal.server import PracticeKaggle, Submission
from kgl.session import Say

NOT_COPIED = (".*", "data", "runs", "notebooks", "tests", "reports", "__pycache__", "*.egg-info", "uv.lock", "*.jsonl")


def rehearse(workspace: Workspace, say: Say = print) -> Submission:
    """Download, baseline, board, submit and, after the deadline, the private score, with the workspace's own code.

    Everything happens in a temporary copy with its own home folder and token; nothing of the user's is read or written
    but the code. The contest is a sample: made-up passengers after the published table of those aboard the Titanic, or
    handwritten digits where the workspace is for pictures.

    Args:
        workspace: where the code lies.
        say: takes what is printed, a line at a time.

    Raises:
        KglError: a command failed; its own sentence stands above.
    """
    with tempfile.TemporaryDirectory(prefix="kgl-rehearsal-", ignore_cleanup_errors=True) as folder:
        copy, home = Path(folder) / "workspace", Path(folder) / "home"
        shutil.copytree(workspace.root, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
        commands = [["download"], ["baseline"], ["board"], ["submit", "--yes"]]
        facts = load_competition(workspace)
        sample = import_module(f"kgl.rehearsal.{'digits' if facts.kind == 'image' else 'titanic'}")
        if facts.target != ("Survived",):  # starter titanic knows the facts of its sample
            write_text(copy / "competition.toml", sample.FACTS)
            commands.insert(1, ["init", "--yes"])
        with PracticeKaggle(sample.sample_contest()) as kaggle:
            contest = kaggle.contest
            say(f"Practice Kaggle on 127.0.0.1:{kaggle.port}, {contest.title}, {contest.daily_limit} submissions a day")
            environment = kaggle.environment(home) | {"PYTHONPATH": str(copy), "PYTHONIOENCODING": "utf-8"}
            for command in commands:
                _run(command, copy, environment, say)
            kaggle.close_contest()
            say("The deadline passes.")
            _run(["status"], copy, environment, say)
            return kaggle.submissions[-1]


def _run(command: Sequence[str], folder: Path, environment: dict[str, str], say: Say) -> None:
    say(f"$ kgl {' '.join(command)}")
    status, _ = run_kgl(command, folder, environment, lambda line: say(f"    {line}"))
    if status:
        raise KglError(f"the rehearsal ended at kgl {command[0]} (exit status {status}); its reason stands above.")
