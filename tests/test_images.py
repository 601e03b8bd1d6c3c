"""The image starter on handwritten digits: what its guide says is typed, with weights where they are, and without."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.baking import WORKSPACE, BakedProject, Finished
from tests.conftest import Bake

Installed = Callable[[str], BakedProject]
GUIDE = WORKSPACE / "_starters" / "image" / "GUIDE.md"
# enough to tell digits apart, few enough to train in seconds
ROWS = {"train.csv": 240, "sample_submission.csv": 100}
NOBODY = "http://127.0.0.1:9"  # listens there
ONE_BY_ONE = """
import json, sys
from kgl.cli.main import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as end:
        if end.code:
            raise
"""
NEEDS_WEIGHTS = {"embeddings", "small_resnet", "modern", "vit", "strong"}
SHORTER = {"by_hand": ("epochs=1", "image_size=32"), "my_network": ("epochs=1", "image_size=32")}


@dataclass(frozen=True)
class Pictures:
    """A workspace of the image starter with the files of the sample contest, and less of them."""

    project: BakedProject

    def python(self, *arguments: str) -> Finished:
        hub = str(self.project.path.parent / "hub")  # no weights that lie on this machine already
        return self.project.python(*arguments, HF_ENDPOINT=NOBODY, HF_HOME=hub)

    def run(self, *arguments: str) -> Finished:
        return self.python("-m", "kgl", *arguments)

    def kgl(self, *commands: str) -> str:
        """Commands that must succeed, such as "train tiny", one after the other; torch is imported once for all."""
        done = self.python("-c", ONE_BY_ONE, json.dumps([command.split() for command in commands]))
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def best(self) -> float:
        return float(json.loads(self.run("board", "--json").stdout)[0]["cv_score"])


@pytest.fixture(scope="module")
def with_facts(bake_into: Bake, installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """Few rows of the digits, and what `kgl init` finds out of them."""
    from kgl.rehearsal.digits import sample_contest

    baked = bake_into(tmp_path_factory.mktemp("digits"), starter="image", competition="some-digits")
    project = baked.borrow(installed("image"))
    for name, content in sample_contest().files.items():
        assert isinstance(content, bytes)
        path = project.path / "data" / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(content.splitlines(keepends=True)[: ROWS[name] + 1]) if name in ROWS else content)
    told = Pictures(project).kgl("init --yes folds.n_splits=2")
    assert re.search(r"images\.layout +csv", told), told
    return project


@pytest.fixture
def pictures(with_facts: BakedProject, tmp_path: Path) -> Pictures:
    shutil.copytree(with_facts.path, tmp_path / "some-digits")
    return Pictures(BakedProject(tmp_path / "some-digits").borrow(with_facts))


@pytest.fixture
def local_weights(contest_data: Path) -> Path:
    """ImageNet weights of a small network, as somebody without a connection has them."""
    found = sorted((contest_data / "weights").glob("mobilenetv2_100*.safetensors"))
    if not found:
        pytest.skip("needs weights/mobilenetv2_100*.safetensors in CONTEST_DATA")
    return found[0]


def give(pictures: Pictures, weights: Path) -> None:
    folder = pictures.project.path / "data" / "weights"
    folder.mkdir()
    shutil.copy(weights, folder)
    half = {"mean": [0.5] * 3, "std": [0.5] * 3}
    (folder / f"{weights.stem}.json").write_text(json.dumps({"pretrained_cfg": half}))


def test_a_baseline_without_weights_and_connection_ends_in_a_checked_submission(pictures: Pictures) -> None:
    by_hand = pictures.project.path / "experiments" / "by_hand.py"
    by_hand.write_text(by_hand.read_text("utf-8").replace("image_size=64", "image_size=32"), "utf-8")  # in less time
    told = pictures.kgl("baseline")
    (failed,) = [line for line in told.splitlines() if line.startswith("embeddings: failed: ")]
    assert "without embeddings, which failed" in told and "the weights of resnet18 are not on this machine" in failed
    assert "put resnet18.safetensors into it" in failed
    for run in ("tiny-001", "by_hand-001", "blend-001"):
        assert re.search(rf"^{run} +CV 0\.\d+", told, re.MULTILINE), told
    assert "submission.csv, 100 rows, checked" in told
    assert pictures.best() > 0.6  # 120 digits to learn from; chance is .1


def test_where_other_weights_lie_the_sentence_says_what_to_type_and_that_works(
    pictures: Pictures, local_weights: Path
) -> None:
    give(pictures, local_weights)
    refused = pictures.run("train", "embeddings")
    assert refused.returncode == 1
    sentence = refused.stderr.strip().splitlines()[-1]
    typed = re.search(r"data/weights has mobilenetv2_100: add (backbone=mobilenetv2_100)", sentence)
    assert typed, sentence
    pictures.kgl(f"train embeddings {typed[1]} params.pad_type=same image_size=64")
    assert pictures.best() > 0.6  # of digits as photographs, with 120 to learn from; chance is .1


def guide_commands() -> list[list[str]]:
    """What the guide tells to type, in its order, without `uv run kgl`."""
    lines = re.findall(r"^    uv run kgl (.+?)(?: +#.*)?$", GUIDE.read_text("utf-8"), re.MULTILINE)
    return [line.split() for line in lines]


def write_guide_files(pictures: Pictures) -> None:
    """What the guide shows: experiments are new files, the rest is added to the file that it names."""
    for path, text in re.findall(r"```python\n# ([\w/]+\.py)\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL):
        with (pictures.project.path / path).open("a", encoding="utf-8") as file:
            file.write(text if path.startswith("experiments/") else f"\n\n{text}")


def test_the_guides_commands_that_need_no_weights_work(pictures: Pictures) -> None:
    write_guide_files(pictures)
    wanted = [
        words
        for words in guide_commands()
        if words[0] not in ("download", "rehearse", "init") and not NEEDS_WEIGHTS & set(words)
    ]
    assert {words[0] for words in wanted} >= {"folds", "train", "board", "blend", "submit"}
    ((example, text),) = re.findall(r"```python\n# (\S+)\n(.*?)```", pictures.project.read("README.md"), re.DOTALL)
    (pictures.project.path / example).write_text(text, "utf-8")
    typed = [" ".join([*words, *SHORTER.get(words[-1], ())]) for words in wanted]
    pictures.kgl("train second --quick", *("submit --dry-run" if line == "submit" else line for line in typed))


def test_the_guides_commands_with_weights_work(pictures: Pictures, local_weights: Path) -> None:
    """Those of a network that is not here are typed with the one that is, and a step of each training is enough."""
    give(pictures, local_weights)
    write_guide_files(pictures)
    ours = {"embeddings": ("backbone=mobilenetv2_100", "image_size=32")}
    trainings = [words for words in guide_commands() if words[0] == "train" and NEEDS_WEIGHTS & set(words)]
    assert {words[1] for words in trainings} == NEEDS_WEIGHTS
    typed = []
    for words in trainings:
        kept = [word for word in words if not word.startswith(("backbone=", "model=", "image_size="))]
        usual = ("model=mobilenetv2_100", "image_size=32", "seeds=0")
        typed.append(" ".join([*kept, *ours.get(words[1], usual), "--quick"]))
    pictures.kgl(*typed)


def test_a_network_of_ones_own_predicts_without_the_workspace(pictures: Pictures) -> None:
    """Weights, the file that the network is written in, and predict.py: torch and timm are all that it needs."""
    pictures.kgl("train tiny epochs=2 folds=0")
    folder = pictures.project.path.parent / "elsewhere"
    shutil.move(pictures.project.path / "runs" / "tiny-001" / "folds" / "0" / "seed-0", folder)
    shutil.copy(pictures.project.path / "data" / "raw" / "test" / "0001.png", folder)
    python = pictures.project.interpreter
    libraries = next(python.parents[1].rglob("site-packages"))
    command = (str(python), "-S", "predict.py", "0001.png")  # with -S the workspace is not found
    told = BakedProject(folder).succeed(*command, PYTHONPATH=str(libraries)).stdout
    header, row = told.splitlines()
    assert header.split("\t") == ["path", *(f"p_{digit}" for digit in range(10))]
    assert abs(sum(map(float, row.split("\t")[1:])) - 1) < 1e-5
