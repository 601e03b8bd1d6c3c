"""Every trouble of a notebook on Kaggle: how it is played, what the user sees, the exit status, what is at Kaggle then.

This is the table of docs/code_competitions.md and of test_notebook_kaggle.py at once; `python -m tests.notebook_table`
prints it.
"""
# ruff: noqa: E501  (a row of the table is a line)

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kgl.notebook.kernel import write_dataset, write_kernel
from tests.kaggle_faults import PHONE, FaultyExchange, lost_answer
from tests.kaggle_kernels import Dataset, NotebookKaggle
from tests.online_desk import Desk

RUN, SOURCE = "everybody-001", "titanic-everybody-001-source"
FIND = f"""import csv, glob, os, sys
INPUT = os.environ["KGL_INPUT"]
sys.path.insert(0, glob.glob(INPUT + "/**/{SOURCE}", recursive=True)[0])
"""
READ = 'rows = list(csv.DictReader(open(glob.glob(INPUT + "/**/titanic/test.csv", recursive=True)[0])))'
WRITE = """from answers.fixed import LABEL
with open("submission.csv", "w") as file:
    file.write("PassengerId,Survived\\n" + "".join(f"{row['PassengerId']},{LABEL}\\n" for row in rows))
"""
CELLS = (FIND, READ, WRITE)
PATIENT = "import kgl.online.submit; kgl.online.submit.LONGEST_WAIT = 30_000"  # the clock of a Desk runs fast


class NotebookDesk(Desk):
    """A desk with a built notebook that says of everybody that they died."""

    def __init__(self, there: NotebookKaggle, home: Path) -> None:
        super().__init__(there, home)
        self.there, self.more, self.patience = there, PATIENT, 20.0
        self.add_run(RUN)
        (home / "tmp").mkdir()
        self.env["TMPDIR"] = str(home / "tmp")  # the client keeps there how far an upload came
        source = self.build / "source"
        (source / "answers").mkdir(parents=True)
        (source / "answers" / "fixed.py").write_text('LABEL = "0"\n')
        write_dataset(source, SOURCE)
        self.write(*CELLS)

    @property
    def build(self) -> Path:
        return self.root / "build" / RUN

    def write(self, *cells: str, gpu: bool = False) -> None:
        slug = "titanic-everybody-001-predict"
        write_kernel(self.build / "notebook", slug, cells, competition="titanic", datasets=[SOURCE], gpu=gpu)

    def made(self) -> tuple[int, int, int]:
        """Versions of data sets, versions of notebooks, and submissions at Kaggle."""
        there = self.there
        data = sum(len(one.folders) for one in there.datasets.values() if one.description)
        return data, sum(map(len, there.kernels.values())), len(there.submissions)


Setup = Callable[[NotebookDesk], object]


@dataclass(frozen=True)
class Trouble:
    """`sees` is part of the message; `made`: versions of data sets, of notebooks, and submissions afterwards."""

    trouble: str
    setup: Setup
    command: str
    sees: str
    status: int
    made: tuple[int, int, int]


def there(**values: object) -> Setup:
    return lambda desk: vars(desk.there).update(values)


def both(*setups: Setup) -> Setup:
    def setup(desk: NotebookDesk) -> None:
        for one in setups:
            one(desk)

    return setup


def gpu(desk: NotebookDesk) -> None:
    desk.write(*CELLS, gpu=True)


def cell(number: int, code: str) -> Setup:
    return lambda desk: desk.write(*CELLS[: number - 1], code, *CELLS[number:])


def same_title(desk: NotebookDesk) -> None:
    desk.there.datasets["rehearsal/another"] = Dataset(SOURCE, "")


def same_notebook_title(desk: NotebookDesk) -> None:
    desk.kgl("notebook", "push")
    desk.there.kernels["rehearsal/another"] = desk.there.kernels.popitem()[1]


def play(endpoint: str, fault: Callable[[FaultyExchange], bool]) -> Setup:
    return lambda desk: desk.there.play(endpoint, fault)


def no_slot_left(desk: NotebookDesk) -> None:
    desk.there.contest.daily_limit = 0


def sent_before(desk: NotebookDesk) -> None:
    assert desk.kgl("notebook", "submit", "--yes").returncode == 0


PUSH, SEND = "kgl notebook push", "kgl notebook submit --yes"
FIXED = WRITE.replace("in rows)", "in rows[:100])").replace("rows[:100]", "(rows * 9)[:100]")
TROUBLES = [
    Trouble("a push error", there(push_error="Kernel limit reached"), PUSH, "Kaggle refused: Kernel limit reached.", 3, (1, 0, 0)),
    Trouble("the name of a data set is taken", same_title, PUSH, "already in use by a dataset", 3, (0, 0, 0)),
    Trouble("the name of a notebook is taken", same_notebook_title, PUSH, "Rename or delete that one", 3, (1, 1, 0)),
    Trouble("the GPU quota is spent", both(there(gpu_hours=0), gpu), PUSH, "Wait until Kaggle has GPU hours for you again", 3, (1, 0, 0)),
    Trouble("phone not verified", play("SaveKernel", PHONE), PUSH, "Verify phone or identity", 3, (1, 0, 0)),
    Trouble("a data set is not ready for long", there(unpacking_polls=10**6), PUSH, "is there but not ready yet", 1, (1, 0, 0)),
    Trouble("a data set cannot be unpacked", there(unpacked="FAILED"), PUSH, "could not unpack the data set", 1, (1, 0, 0)),
    Trouble("private data is not attached", there(detached={f"rehearsal/{SOURCE}"}), PUSH, f"did not attach rehearsal/{SOURCE}", 3, (1, 1, 0)),
    Trouble("the contest is not attached", there(detached={"titanic"}), PUSH, "did not attach titanic", 3, (1, 1, 0)),
    Trouble("a cell fails", cell(2, 'raise ValueError("no such thing")'), PUSH, "failed on Kaggle, cell 2: ValueError: no such thing", 1, (1, 1, 0)),
    Trouble("the machine ends the run", there(killed="Your notebook tried to allocate more memory than is available"), PUSH, "failed on Kaggle: Your notebook tried to allocate more memory", 1, (1, 1, 0)),
    Trouble("the image lacks a package", both(there(lacks=["pandas"]), cell(2, "import pandas")), PUSH, "kgl notebook build --package pandas", 1, (1, 1, 0)),
    Trouble("a notebook without output", cell(3, "print(len(rows))"), PUSH, "wrote no submission.csv", 1, (1, 1, 0)),
    Trouble("wrong rows", cell(2, READ + "[:99]"), PUSH, "1 ids of the sample submission are missing", 1, (1, 1, 0)),
    Trouble("an answer about a data set is lost", play("CreateDataset", lost_answer), PUSH, "rehearsal/titanic-everybody-001-predict version 1", 0, (1, 1, 0)),
    Trouble("the answer to a push is lost", play("SaveKernel", lost_answer), PUSH, "rehearsal/titanic-everybody-001-predict version 1", 0, (1, 1, 0)),
    Trouble("the answer to a submission is lost", play("CreateCodeSubmission", lost_answer), SEND, "scored       public 0.", 0, (1, 1, 1)),
    Trouble("the hidden test fails", cell(2, READ + "\nassert len(rows) == 100"), SEND, "could not score the file: Notebook Threw Exception", 1, (1, 1, 1)),
    Trouble("rows are counted by hand", cell(3, FIXED), SEND, "Submission must have 318 rows", 1, (1, 1, 1)),
    Trouble("no slot is left", no_slot_left, SEND, "the allowance is back at 00:00 UTC", 3, (1, 1, 0)),
    Trouble("it was submitted before", sent_before, SEND, f"the same content was sent already: {RUN}", 1, (1, 1, 1)),
    Trouble("nothing is built", lambda desk: (desk.build / "notebook" / "kernel-metadata.json").unlink(), PUSH, "make one with: kgl notebook build", 2, (0, 0, 0)),
]  # fmt: skip


def markdown() -> str:
    """The table as docs/code_competitions.md has it."""
    rows = [f"| {t.trouble} | `{t.command}` | ...{t.sees}... | {t.status} |" for t in TROUBLES]
    return "\n".join(["| trouble | command | what you see | exit status |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    print(markdown())
