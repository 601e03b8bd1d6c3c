"""What Kaggle's image has, as far as known, and wheels of what it lacks."""

import ast
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from kgl.errors import KglError

PYTHON = "3.12"
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_27_x86_64", "manylinux_2_28_x86_64", "any")
# From memory of the image with Python 3.12, not looked up there; it changes every few weeks. In a notebook on Kaggle
# `!pip list` tells what is so today: correct these tables by it.
VERSIONS = {
    "numpy": "2.0.2",
    "pandas": "2.2.2",
    "scikit-learn": "1.6.1",
    "lightgbm": "4.6.0",
    "torch": "2.9.0",
    "torchvision": "0.24.0",
}
OF_ANY_VERSION = """
scipy pyarrow joblib threadpoolctl filelock click rich tqdm six safetensors huggingface-hub timm pillow xgboost
xgboost-cpu catboost matplotlib seaborn plotly statsmodels optuna polars opencv-python opencv-python-headless
albumentations transformers tokenizers datasets sentencepiece accelerate peft tensorflow keras jax torchaudio
torchmetrics pytorch-lightning einops nltk spacy gensim category-encoders imbalanced-learn shap numba numexpr
networkx sympy scikit-image requests pyyaml h5py pydicom librosa soundfile kornia tifffile imageio simpleitk
nibabel psutil tabulate cloudpickle dask beautifulsoup4 lxml regex wordcloud jinja2 openpyxl setuptools pip
packaging python-dateutil pytz tzdata fsspec protobuf
"""
LISTED = {*VERSIONS, *OF_ANY_VERSION.split()}
PICKLED = ("scikit-learn", "pandas")  # saved models of tables hold their objects: another version may not read them


def needed(packages: Iterable[str], known: Collection[str] = ()) -> dict[str, str]:
    """The packages that are here, with all that they need here and is not known, and their versions."""
    found, waiting = dict[str, str](), list(packages)
    while waiting:
        name = waiting.pop()
        with suppress(importlib.metadata.PackageNotFoundError):
            about = importlib.metadata.distribution(name)
            lines = [] if name in found else [line for line in about.requires or [] if "extra ==" not in line]
            needs = [_plain(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in lines]
            waiting += [other for other in needs if other not in known]
            found[name] = about.version
    return found


def provided() -> set[str]:
    """The packages of this machine that Kaggle's image has too: those of the tables and what they need themselves."""
    return set(needed(LISTED))


def _plain(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def foreign_modules() -> dict[str, str]:
    """The modules that can be imported here but, as far as known, not on Kaggle, and the package of each."""
    known = provided()
    importable = importlib.metadata.packages_distributions()
    packages = {top: [_plain(name) for name in names] for top, names in importable.items()}
    return {top: names[0] for top, names in packages.items() if not known & set(names)}


def imported_modules(files: Iterable[Path]) -> set[str]:
    """The first names of all modules that Python files import, anywhere in them."""
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_bytes()))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.split(".")[0] for name in names}


def lacking(modules: Iterable[str]) -> dict[str, str]:
    """Packages that Kaggle's image lacks for these modules, with what they need themselves, and their versions here."""
    foreign = foreign_modules()
    return needed([foreign[name] for name in modules if name in foreign], known=provided())


def differing(versions: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The version that models were saved with and Kaggle's, of libraries where the first two numbers differ."""
    known = {name: (version, VERSIONS[name]) for name, version in versions.items() if name in VERSIONS}
    return {name: both for name, both in known.items() if both[0].split(".")[:2] != both[1].split(".")[:2]}


def fetch_wheels(packages: Mapping[str, str], folder: Path) -> None:
    """Download a wheel of each package in this version for Kaggle's Python and platform, without what they need.

    Raises:
        KglError: there is no pip or uv, no connection, or no such wheel.
    """
    wanted = [f"{name}=={version}" for name, version in packages.items()]
    options = ["--no-deps", "--only-binary=:all:", "--python-version", PYTHON, "--retries", "1", "--timeout", "10"]
    options += [part for platform in PLATFORMS for part in ("--platform", platform)]
    command = [*_pip(), "download", "--quiet", "--disable-pip-version-check", *options, "--dest", str(folder), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if done.returncode:
        why = (done.stderr.strip() or "pip told no reason").splitlines()[-1].removeprefix("ERROR: ").rstrip(".")
        raise KglError(f"no wheels of {', '.join(wanted)} for Kaggle's Python {PYTHON} ({why}); build again online.")


def _pip() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    raise KglError("neither pip nor uv is there to fetch wheels with; install uv, or pip into this environment.")


def modules_of(wheels: Iterable[Path]) -> set[str]:
    """The first names of the modules in wheels."""
    names = {name.split("/")[0] for wheel in wheels for name in zipfile.ZipFile(wheel).namelist()}
    return {name.split(".")[0] for name in names if not name.endswith((".dist-info", ".data", ".libs"))}
