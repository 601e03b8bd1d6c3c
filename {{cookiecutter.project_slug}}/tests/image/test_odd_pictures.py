"""Odd files of all kinds through `kgl train`: read rightly, or left out of training and predicted as the average."""

import numpy as np
import pandas as pd
import pytest

from kgl.submission import check_run
from tests.conftest import Tiny
from tests.image.corpus import png_of_size, right_files, wrong_files
from tests.image.test_contests import CONTEST, FACTS, TINY, table

TWINS = ("png_named.jpg", "bmp_without_an_ending", "plain.tif", "packed.tiff", "plain.webp", "moving.png")
TURNED = tuple(f"turned{k}.png" for k in range(2, 9))
GONE = "gone.jpg"


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiny, str]:
    """A workspace whose train and test hold the whole corpus, trained; and what was said on the way."""
    workspace = Tiny(tmp_path_factory.mktemp("odd") / "odd")
    for name, text in (("competition.toml", FACTS), ("contest.py", CONTEST), ("features.py", ""),
                       ("experiments/__init__.py", ""), ("experiments/tiny.py", TINY)):  # fmt: skip
        workspace.write(name, text)
    files = [*right_files(), *wrong_files()]
    contents = {odd.name: odd.content for odd in files} | {"huge.png": png_of_size(30_000, 30_000)}
    for name, content in contents.items():
        for part in ("train", "test"):  # other bytes in train, else equal files share a fold: decoders ignore the rest
            workspace.write(f"data/raw/{part}/{name}", content)
    names = [*contents, GONE]
    workspace.write("data/raw/train.csv", table("file,label", ((name, i % 2) for i, name in enumerate(names))))
    workspace.write("data/raw/sample_submission.csv", table("file,label", ((name, 0.5) for name in names)))
    said = workspace.kgl("init", "metric=logloss", "--yes")
    assert said.status == 0, said.err
    trained = workspace.kgl("train", "tiny")
    assert trained.status == 0, trained.err
    return workspace, trained.out + trained.err


BAD = {file.name for file in wrong_files()} | {"huge.png", GONE}


def predictions(workspace: Tiny, name: str) -> pd.DataFrame:
    return pd.read_parquet(workspace.root / f"runs/tiny-001/{name}.parquet").set_index("id")


def priors(workspace: Tiny) -> dict[int, float]:
    """The share of label 1 among the readable training rows of each fold's model."""
    train = workspace.frame("train.csv").set_index("file")
    fold = pd.read_parquet(workspace.root / "data/folds.parquet").set_index("id")["fold"]
    readable = train[~train.index.isin(BAD)]
    return {k: float((readable["label"][fold[readable.index] != k] == "1").mean()) for k in (0, 1)}


def test_bad_files_are_named_with_their_number(odd: tuple[Tiny, str]) -> None:
    workspace, said = odd
    assert f"{len(BAD)} of " in said
    assert "empty.jpg" in said and "empty" in said
    logs = "".join(path.read_text() for path in (workspace.root / "runs/tiny-001").rglob("log.txt"))
    assert "training rows left out: their pictures cannot be read" in logs


def test_a_test_row_without_a_picture_gets_the_average_and_never_its_neighbours_prediction(
    odd: tuple[Tiny, str],
) -> None:
    test = predictions(odd[0], "test")
    expected = np.mean(list(priors(odd[0]).values()))
    bad = test.index.isin(BAD)
    assert bad.sum() == len(BAD) and np.allclose(test["p_1"][bad], expected, atol=1e-6)
    assert not np.isclose(test["p_1"][~bad], expected, rtol=0, atol=1e-6).any()


def test_a_training_row_without_a_picture_gets_the_average_out_of_fold(odd: tuple[Tiny, str]) -> None:
    oof = predictions(odd[0], "oof")
    for k, prior in priors(odd[0]).items():
        rows = oof[(oof["fold"] == k) & oof.index.isin(BAD)]
        assert len(rows) and np.allclose(rows["p_1"], prior, atol=1e-6)


def test_twins_of_a_picture_are_predicted_alike(odd: tuple[Tiny, str]) -> None:
    test = predictions(odd[0], "test")["p_1"]
    assert np.allclose(test[[*TWINS, *TURNED]], test["plain.png"], atol=1e-6)
    assert test.nunique() > len(test) / 3


def test_the_submission_has_every_row_and_saved_models_predict_the_same(
    odd: tuple[Tiny, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, _ = odd
    monkeypatch.chdir(workspace.root)
    before, path = predictions(workspace, "test"), check_run(workspace.workspace, "tiny-001")
    assert len(path.read_text().splitlines()) == len(workspace.frame("sample_submission.csv")) + 1
    done = workspace.kgl("predict", "tiny-001")
    assert done.status == 0, done.err
    assert np.allclose(predictions(workspace, "test"), before, atol=1e-6)
