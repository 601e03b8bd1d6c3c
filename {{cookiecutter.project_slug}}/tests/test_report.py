"""kgl report: the page and RESULTS.md, what they say of missing and broken runs, and the page in a real browser."""

import json
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from kgl.report import errors, importance, scores, tables
from kgl.report.material import Material
from kgl.report.pictures import VARIABLES, bars
from kgl.report.section import Section, Table, share
from tests.conftest import CONTEST, Tiny

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ENGINE = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path for path in ENGINE.glob("**/notebooks/eda.ipynb") if "runs" not in path.parts)
PICTURES = """
from kgl.image.files import read_images


def load():
    return read_images("train"), read_images("test")
"""
TREES = """
from kgl.tabular import Tabular

experiment = Tabular(model="lightgbm", params={"n_estimators": 5, "min_child_samples": 5})
"""


@pytest.fixture
def trained(tiny: Tiny) -> Tiny:
    """Three experiments, a blend and two submissions."""
    tiny.write("experiments/trees.py", TREES)
    for name in ("constant", "logistic", "trees"):
        assert tiny.kgl("train", name, "-m", f"{name} <b>|</b>").status == 0
    assert tiny.kgl("blend").status == 0
    event = {"file_sha256": "", "message": "", "time": "2026-01-01T00:00:00+00:00", "status": "complete"}
    sent = [event | {"ref": i, "run": run, "public_score": 0.7 + i / 10, "cv_score": 0.6 + i / 10}
            for i, run in enumerate(("constant-001", "logistic-001"))]  # fmt: skip
    tiny.write("submissions.jsonl", "".join(json.dumps(one) + "\n" for one in sent))
    return tiny


def page(tiny: Tiny) -> str:
    return (tiny.root / "reports/index.html").read_text(encoding="utf-8")


def test_the_page_has_every_section_and_fetches_nothing(trained: Tiny) -> None:
    result = trained.kgl("report")
    assert (result.status, result.out.strip(), result.err) == (0, "reports/index.html · RESULTS.md", "")
    text = page(trained)
    for title in ("Board", "Leaderboard", "Blend", "Importance", "Errors", "Worst rows", "Facts", "Target", "Columns",
                  "Train beside test", "Folds", "Oddities"):  # fmt: skip
        assert f"<h2>{title}</h2>" in text
    assert text.count("<svg") >= 12
    assert not re.search(r'(?:src|href)="(?!data:|#)|url\(http|@import|<script', text)
    assert "<b>|</b>" not in text, "notes are text, not HTML"
    assert not [colour for colour in VARIABLES if colour in text], "a colour that dark mode cannot change"
    assert len(text) < 3_000_000


def test_results_have_a_line_for_each_run_and_stay_as_they_are(trained: Tiny) -> None:
    order = ["trees-001", "constant-001", "logistic-001", "blend-001"]
    for second, run in enumerate(order):
        path = trained.root / "runs" / run / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"started": f"2026-01-01T00:00:0{second}Z"}))
    trained.kgl("report")
    first = (trained.root / "RESULTS.md").read_text(encoding="utf-8")
    rows = [line for line in first.splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == order
    assert "noise (+0.15" in first.split("logistic-001 |")[1].splitlines()[0], "above constant, but of 60 rows"
    assert r"constant <b>\|</b>" in first
    trained.kgl("report")
    assert (trained.root / "RESULTS.md").read_text(encoding="utf-8") == first


def test_a_workspace_without_runs_says_which_command_brings_them(tiny: Tiny) -> None:
    result = tiny.kgl("report")
    assert result.status == 0
    assert result.err.count("no complete run yet; uv run kgl baseline") == 1
    assert "<h2>Train beside test</h2>" in page(tiny) and not (tiny.root / "RESULTS.md").exists()


def test_what_is_broken_is_a_sentence_and_breaks_nothing_else(trained: Tiny) -> None:
    best = trained.root / "runs/logistic-001/oof.parquet"
    best.write_bytes(b"no table")
    assert trained.kgl("report").status == 0
    assert "cannot be read" in page(trained) and "<h2>Columns</h2>" in page(trained)
    trained.write("runs/trees-001/run.json", "{")
    assert trained.kgl("report").status == 0
    assert "trees-001/run.json is not valid JSON" in page(trained) and "size</td>" in page(trained)


def test_a_missing_training_file_leaves_the_board(trained: Tiny) -> None:
    (trained.root / "data/raw/train.csv").unlink()
    assert trained.kgl("report").status == 0
    assert "train.csv is missing" in page(trained) and "logistic-001</td>" in page(trained)


def test_sections_of_regression_show_residuals(trained: Tiny) -> None:
    for old, new in (("binary", "regression"), ("accuracy", "rmse"), ("stratified", "kfold"), ('"label"', '"size"')):
        trained.replace("competition.toml", old, new)
    for name in ("folds.parquet", "../runs"):
        path = trained.root / "data" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    trained.save("test.csv", trained.frame("test.csv").drop(columns="size"))
    trained.save("sample.csv", trained.frame("sample.csv")[["id"]].assign(size=0))
    trained.write("experiments/logistic.py", (trained.root / "experiments/trees.py").read_text())
    result = trained.kgl("train", "logistic")
    assert result.status == 0, result.err
    m = Material(trained.workspace)
    titles = [block.title for block in errors.errors(m).blocks]
    assert titles == ["size: prediction and truth", "size: residuals"]
    assert len(errors.worst(m).blocks[0].rows) == 12


def test_worst_rows_are_the_largest_errors(trained: Tiny) -> None:
    m = Material(trained.workspace)
    table = errors.worst(m).blocks[0]
    seen = m.best
    wrong = 1 - seen.values[range(len(seen.y)), seen.y]
    assert table.rows[0][0] == m.data.ids.iloc[seen.place[wrong.argmax()]]


def test_what_tells_the_label_is_worth_most(trained: Tiny) -> None:
    assert trained.kgl("train", "trees", "params.learning_rate=0.5", "params.n_estimators=30").status == 0
    shutil.rmtree(trained.root / "runs/logistic-001")
    shutil.rmtree(trained.root / "runs/blend-001")
    section = importance.importance(Material(trained.workspace))
    assert section is not None and section.lead.startswith("trees-00")
    assert [block.title.split(",")[0] for block in section.blocks] == ["Worse by", "Share of the trees' gain"]
    for block in section.blocks:
        names = re.findall(r">([a-z]+)</text>", block.svg)
        assert names[0] == "size", names


def test_columns_that_differ_come_first(tiny: Tiny) -> None:
    tiny.save("test.csv", tiny.frame("test.csv").assign(letter="a"))
    section = tables.distributions(Material(tiny.workspace))
    assert section is not None
    assert "letter" in [picture.title for picture in section.blocks[:2]], "day, a number, has other values in test too"


def test_the_board_of_the_page_is_that_of_the_command(trained: Tiny) -> None:
    section = scores.board(Material(trained.workspace))
    listed = [run["run"] for run in json.loads(trained.kgl("board", "--json").out)]
    assert [row[1] for row in section.blocks[-1].rows] == listed


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.parents[1].name)
def test_the_notebook_runs_from_top_to_bottom(tiny: Tiny, notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    known = {"kgl.image": "digits", "Survived": "titanic"}
    sample = next((name for word, name in known.items() if any(word in cell for cell in code)), None)
    if sample:
        contest = import_module(f"kgl.rehearsal.{sample}")
        shutil.rmtree(tiny.root / "data")
        for name, content in contest.sample_contest().files.items():
            tiny.write(f"data/raw/{name}", content)
        tiny.write("competition.toml", contest.FACTS)
        tiny.write("contest.py", PICTURES if sample == "digits" else CONTEST)
        assert tiny.kgl("init", "--yes").status == 0
    names: dict[str, object] = {}
    for cell in code:
        exec(cell, names)
    assert isinstance(names["m"], Material)


def test_pictures_have_letters_not_outlines_and_sections_are_html_in_a_notebook() -> None:
    svg = bars(["<a>", "b"], {"": [1, 2]}, "rows")  # type: ignore[dict-item]
    assert "&lt;a&gt;</text>" in svg and "var(--c1)" in svg and "metadata" not in svg
    html = Section("lead & more", [Table(("a", "b"), [("<x>", share(0.5))])])._repr_html_()
    assert "lead &amp; more" in html and "&lt;x&gt;" in html and "--v:0.500" in html


@pytest.mark.skipif(BROWSER is None, reason="neither chromium nor google-chrome is on the PATH")
@pytest.mark.parametrize("width", [375, 1400])
def test_the_page_in_a_browser_fits_and_complains_of_nothing(trained: Tiny, tmp_path: Path, width: int) -> None:
    trained.kgl("report")
    probe = f"""<iframe id=page src="file://{trained.root}/reports/index.html" width={width} height=900></iframe>
    <script>addEventListener("load", () => {{
      const d = document.getElementById("page").contentDocument, r = d.documentElement;
      const blank = [...d.querySelectorAll("svg, img")].filter(one => one.getBoundingClientRect().height < 20);
      const found = [r.scrollWidth, d.querySelectorAll("svg").length, blank.length];
      document.title = [...found, getComputedStyle(d.body).fontSize];
    }})</script>"""
    file = tmp_path / "probe.html"
    file.write_text(probe, encoding="utf-8")
    command = [str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
               f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
               "--enable-logging=stderr", "--window-size=1500,1000", "--dump-dom", file.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r"<title>(\d+),(\d+),(\d+),16px</title>", done.stdout)
    assert found, done.stdout[-500:]
    overflow, pictures, blank = int(found[1]) - width, int(found[2]), int(found[3])
    assert (overflow <= 0, pictures >= 12, blank) == (True, True, 0), found[0]
