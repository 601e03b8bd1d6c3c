"""kgl notebook build: what is packed, what is refused, and what is said."""

import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from kgl.errors import KglError
from kgl.notebook.inside import add_wheels
from kgl.notebook.kernel import Build, kaggle_slug, set_owner
from kgl.notebook.wheels import (
    LISTED,
    VERSIONS,
    differing,
    fetch_wheels,
    imported_modules,
    lacking,
    modules_of,
    needed,
    provided,
)
from tests.conftest import CONTEST, Result, Tiny


def build(tiny: Tiny, *arguments: str) -> Result:
    return tiny.kgl("notebook", "build", *arguments, "--no-wheels")


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_build_holds_what_predicting_needs(tiny: Tiny) -> None:
    tiny.kgl("train", "logistic", "constant")
    result = build(tiny)
    assert result.status == 0 and result.out == "build/logistic-001\n"
    assert "private data set tiny-logistic-001-source" in result.err and " KiB " in result.err
    folder = tiny.root / "build/logistic-001"
    source, weights = names_in(folder / "source"), names_in(folder / "weights")
    wanted = {"contest.py", "features.py", "competition.toml", "kgl/predict.py", "data/folds.parquet"}
    assert wanted | {"runs/logistic-001/run.json", "runs/logistic-001/source/contest.py"} <= source
    assert not any("constant-001" in name or "__pycache__" in name for name in source | weights)
    assert "runs/logistic-001/folds/2/seed-0/model-0.joblib" in weights
    assert not any(name.endswith(("predictions.npz", "log.txt")) for name in weights)


def test_all_is_private_offline_and_without_gpu_and_waits_for_its_owner(tiny: Tiny) -> None:
    tiny.kgl("train", "logistic")
    build(tiny)
    made = Build(tiny.root / "build/logistic-001")
    about: list[dict[str, Any]] = [json.loads((d / "dataset-metadata.json").read_text()) for d in made.datasets]
    assert [a["id"] for a in about] == [
        "INSERT_OWNER/tiny-logistic-001-source",
        "INSERT_OWNER/tiny-logistic-001-weights",
    ]
    assert all(a["isPrivate"] and 6 <= len(a["title"]) <= 50 and len(a["licenses"]) == 1 for a in about)
    set_owner(made.folder, "somebody")
    kernel = json.loads((made.kernel / "kernel-metadata.json").read_text())
    assert kernel["id"] == "somebody/tiny-logistic-001-predict" and kernel["title"].replace(" ", "-") in kernel["id"]
    assert (kernel["is_private"], kernel["enable_internet"], kernel["enable_gpu"]) == (True, False, False)
    assert kernel["competition_sources"] == ["tiny"]
    assert kernel["dataset_sources"] == ["somebody/tiny-logistic-001-source", "somebody/tiny-logistic-001-weights"]


def test_a_blend_brings_its_members_and_what_they_stack_on(tiny: Tiny) -> None:
    tiny.kgl("train", "logistic", "constant")
    tiny.kgl("train", "logistic", "stack_on=constant-001")
    tiny.kgl("blend", "logistic-002", "logistic-001")
    path = tiny.root / "runs/blend-001/run.json"
    run = json.loads(path.read_text())
    run["blend"]["weights"] = [1.0 if name == "logistic-002" else 0.0 for name in run["blend"]["members"]]
    path.write_text(json.dumps(run))
    assert build(tiny, "blend-001").status == 0
    folder = tiny.root / "build/blend-001"
    assert {path.name for path in folder.glob("source/runs/*")} == {"blend-001", "logistic-002", "constant-001"}
    assert {path.name for path in folder.glob("weights/runs/*")} == {"logistic-002", "constant-001"}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("notes.py", "token = 'KGAT_0123456789abcdef0123456789abcdef'"),
        ("features.py", "MINE = 'my-own-token-of-today'"),
        ("experiments/kaggle.py", '{"username": "me", "key": "0123456789abcdef0123456789abcdef"}'),
    ],
)
def test_secrets_are_refused_by_the_files_name_and_never_shown(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, file: str, content: str
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "my-own-token-of-today")
    tiny.kgl("train", "logistic")
    assert build(tiny).status == 0
    before = names_in(tiny.root / "build")
    tiny.write(file, content)
    result = build(tiny, "logistic-001")
    assert result.status == 1 and f"source/{file} holds what looks like a secret" in result.err
    assert "0123" not in result.err and "my-own" not in result.err
    assert names_in(tiny.root / "build") == before  # the older build stays whole


def test_contests_with_an_evaluation_api_are_named_by_build_and_doctor(tiny: Tiny) -> None:
    tiny.kgl("train", "logistic")
    tiny.write("data/raw/kaggle_evaluation/core/relay.py", "")
    result = build(tiny)
    assert result.status == 1 and "judged through an evaluation API (kaggle_evaluation)" in result.err
    assert "start from Kaggle's example notebook" in result.err
    assert "judged through an evaluation API (kaggle_evaluation)" in tiny.kgl("doctor").out


def test_runs_that_cannot_predict_are_refused(tiny: Tiny) -> None:
    assert "no complete run to build a notebook of" in build(tiny).err
    tiny.kgl("train", "logistic", "folds=0")
    assert "logistic-001 is partial; only complete runs predict" in build(tiny, "logistic-001").err
    assert build(tiny, "logistic-009").status == 2
    check = tiny.kgl("notebook", "check")
    assert check.status == 2 and "make one with: kgl notebook build" in check.err


def test_libraries_that_differ_and_packages_that_lack_are_told(tiny: Tiny) -> None:
    tiny.write("contest.py", f"import hypothesis\n{CONTEST}")
    tiny.kgl("train", "logistic")
    path = tiny.root / "runs/logistic-001/run.json"
    run = json.loads(path.read_text())
    run["versions"] |= {"scikit-learn": "1.0.2"}
    path.write_text(json.dumps(run))
    told = build(tiny).err
    assert (
        f"scikit-learn: models saved with 1.0.2, Kaggle's image has {VERSIONS['scikit-learn']} as far as known" in told
    )
    assert "Kaggle's image is not known to have hypothesis" in told


def test_what_a_missing_package_needs_is_missing_too(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(
        "import os.path\ndef f():\n    from hypothesis.extra import numpy\nfrom . import x\n"
    )
    found = imported_modules([tmp_path / "code.py"])
    assert found == {"os", "hypothesis"}
    assert {"hypothesis", "sortedcontainers"} <= set(lacking(found)) and "numpy" not in lacking(found)
    assert {"numpy", "python-dateutil", "scikit-learn"} <= provided()
    same = needed(["scikit-learn"], known=LISTED)  # a newer version may need more than Kaggle's
    assert "scikit-learn" in same and not {"numpy", "scipy", "joblib", "threadpoolctl"} & set(same)
    other = differing({"numpy": "2.0.9", "pandas": "1.5.3", "nobody": "1"})
    assert other == {"pandas": ("1.5.3", VERSIONS["pandas"])}


def test_without_any_installer_wheels_are_refused_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(KglError, match=r"install uv|build again online"):
        fetch_wheels({"hypothesis": "6.100.0"}, tmp_path)


def test_wheels_are_imported_without_installing_and_those_of_another_python_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("packed_one-1.0-py3-none-any.whl", "packed_two-1.0-cp27-cp27mu-manylinux1_x86_64.whl"):
        with zipfile.ZipFile(tmp_path / name, "w") as wheel:
            wheel.writestr(f"{name[:10]}/__init__.py", "VALUE = 1\n")
            wheel.writestr(f"{name[:10]}-1.0.dist-info/METADATA", "")
    assert modules_of(tmp_path.glob("*.whl")) == {"packed_one", "packed_two"}
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    add_wheels(str(tmp_path))
    found = {name for name in ("packed_one", "packed_two") if (Path(sys.path[0]) / name).is_dir()}
    assert found == {"packed_one"} and "packed_two" in capsys.readouterr().out


def test_names_fit_kaggle_and_stay_different() -> None:
    long = "a-competition-with-a-name-of-more-than-forty-letters"
    slugs = {kaggle_slug(long, f"large_model-{k:03d}", part) for k in (1, 2) for part in ("source", "weights")}
    assert len(slugs) == 4 and all(6 <= len(slug) <= 50 for slug in slugs)
    assert kaggle_slug("titanic", "lightgbm_groups-001", "source") == "titanic-lightgbm-groups-001-source"
