"""The hooks' functions, one by one."""

import importlib.util
import json
import shutil
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from tests.baking import ROOT, WORKSPACE, printed_steps

LONGEST = 80
RESERVED = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))["_reserved"]


def load(name: str) -> ModuleType:
    """Load a hook as a module: it must define things and do nothing."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "hooks" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pre = load("pre_gen_project")
post = load("post_gen_project")


def answers(**changes: object) -> dict[str, object]:
    usual = {
        "competition": "titanic",
        "__slug": "titanic",
        "__typed": "titanic",
        "_longest": LONGEST,
        "_reserved": RESERVED,
    }
    return usual | changes


def written(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def names_below(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["pre_gen_project", "post_gen_project"])
@given(answer=st.text())
def test_any_answer_enters_a_hook_as_data(name: str, answer: str) -> None:
    source = (ROOT / "hooks" / f"{name}.py").read_text("utf-8")
    rendered = Environment().from_string(source).render(cookiecutter={"competition": answer})
    namespace: dict[str, object] = {"__name__": "rendered"}
    exec(compile(rendered, name, "exec"), namespace)
    read = namespace["read_answers"]
    assert callable(read)
    assert read() == {"competition": answer}


@given(text=st.text(max_size=200))
def test_what_is_suggested_is_taken(text: str) -> None:
    suggestion = pre.nearest_folder(text, longest=LONGEST, reserved=RESERVED)
    assert pre.folder_problem(suggestion, longest=LONGEST, reserved=RESERVED) is None


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("Zwei W\u00f6rter", "zwei-worter"),
        ("../x", "x"),
        ("con", "con-contest"),
        ("\u30bf", "my-contest"),
        ("a" * 100, "a" * LONGEST),
    ],
)
def test_a_suggestion_is_near_to_what_was_typed(text: str, suggestion: str) -> None:
    assert pre.nearest_folder(text, longest=LONGEST, reserved=RESERVED) == suggestion


@given(text=st.text())
def test_what_was_got_is_quoted_short_and_in_ascii(text: str) -> None:
    assert pre.quoted(text).isascii()
    assert json.loads(pre.quoted(text))[:57] == text[:57]
    assert len(json.loads(pre.quoted(text))) <= 60


def test_good_answers_have_no_problem(tmp_path: Path) -> None:
    assert pre.first_problem(answers(), tmp_path) is None


def test_a_wrong_contest_is_told_before_the_folder_named_after_it(tmp_path: Path) -> None:
    problem = pre.first_problem(answers(competition="My Contest", __slug="my contest", __typed="my contest"), tmp_path)
    assert problem == (
        'competition: got "My Contest"; allowed are the letters a to z, digits and dashes, '
        "the first of them no dash; type my-contest instead."
    )


def test_an_address_without_a_slug_asks_for_the_word_in_the_address(tmp_path: Path) -> None:
    problem = pre.first_problem(answers(competition="https://www.kaggle.com/t/1", __slug="https:"), tmp_path)
    assert "type the word that follows /competitions/ in its address instead" in problem


def test_a_long_name_is_refused_with_its_length(tmp_path: Path) -> None:
    assert "81 characters, 80 are allowed" in pre.first_problem(answers(__typed="x" * 81), tmp_path)


@pytest.mark.parametrize("name", RESERVED)
def test_names_of_windows_devices_are_refused(tmp_path: Path, name: str) -> None:
    problem = pre.first_problem(answers(__typed=name), tmp_path)
    assert problem == f'project_slug: got "{name}"; Windows keeps that name for a device; type {name}-contest instead.'


def test_a_folder_with_a_file_is_refused(tmp_path: Path) -> None:
    assert "is not empty" in pre.first_problem(answers(), written(tmp_path, "mine.txt"))


def test_the_chosen_starter_moves_to_the_root_and_the_others_go(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        "kgl/a.py",
        "tests/test_engine.py",
        "_starters/one/competition.toml",
        "_starters/one/tests/test_one.py",
        "_starters/one/experiments/deep/er.py",
        "_starters/other/competition.toml",
    )
    post.put_starter_in_place(root, "one")
    assert names_below(root) == [
        "competition.toml",
        "experiments/deep/er.py",
        "kgl/a.py",
        "tests/test_engine.py",
        "tests/test_one.py",
    ]
    assert (root / "competition.toml").read_text() == "_starters/one/competition.toml"


def test_a_starter_may_not_overwrite_what_all_share(tmp_path: Path) -> None:
    root = written(tmp_path, "tests/test_engine.py", "_starters/one/tests/test_engine.py")
    with pytest.raises(FileExistsError, match="test_engine"):
        post.put_starter_in_place(root, "one")


def test_the_example_of_the_starter_stands_in_the_readme(tmp_path: Path) -> None:
    root = written(tmp_path, "EXAMPLE.md")
    (root / "README.md").write_text("before\n\n<!-- example -->\n\nafter\n")
    post.show_example(root)
    assert (root / "README.md").read_text() == "before\n\nEXAMPLE.md\nafter\n"
    assert names_below(root) == ["README.md"]


@pytest.mark.parametrize("starter", ["titanic", "tabular"])
def test_table_starters_drop_what_is_for_pictures_alone(tmp_path: Path, starter: str) -> None:
    shared = ["kgl/rehearsal/server.py", "kgl/tabular/model.py"]
    root = written(tmp_path, *shared, "kgl/image/train.py", "kgl/rehearsal/digits.py", "tests/image/test_train.py")
    post.drop_unused(root, starter)
    assert names_below(root) == shared
    post.drop_unused(root, starter)  # what is not there is no error


def test_the_facts_of_a_contest_that_the_starter_knows_are_taken(tmp_path: Path) -> None:
    root = written(tmp_path, "competition.toml", "presets/known-contest.toml")
    post.choose_facts(root, "known-contest")
    assert (root / "competition.toml").read_text() == "presets/known-contest.toml"
    assert names_below(root) == ["competition.toml"]


@pytest.mark.parametrize("presets", [["presets/known-contest.toml"], []])
def test_the_facts_of_another_contest_stay_open(tmp_path: Path, presets: list[str]) -> None:
    root = written(tmp_path, "competition.toml", *presets)
    post.choose_facts(root, "another-contest")
    assert (root / "competition.toml").read_text() == "competition.toml"
    assert names_below(root) == ["competition.toml"]


def test_a_starters_groups_of_libraries_are_installed_by_default(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    shutil.copy(WORKSPACE / "pyproject.toml", project)
    before = tomllib.loads(project.read_text("utf-8"))
    post.install_groups(tmp_path, [])
    assert tomllib.loads(project.read_text("utf-8")) == before
    post.install_groups(tmp_path, ["image"])
    after = tomllib.loads(project.read_text("utf-8"))
    assert after["tool"]["uv"]["default-groups"] == ["dev", "image"]
    after["tool"]["uv"]["default-groups"] = ["dev"]
    assert after == before


def test_every_starter_says_what_it_drops_what_it_installs_and_how_it_begins() -> None:
    starters = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))["starter"]
    assert list(post.UNUSED) == list(post.GROUPS) == list(post.FIRST_COMMANDS) == starters
    groups = tomllib.loads((WORKSPACE / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    assert {name for names in post.GROUPS.values() for name in names} == set(groups) - {"dev", "cluster"}


def test_the_next_steps_rehearse_where_there_is_a_rehearsal(tmp_path: Path) -> None:
    assert "uv run kgl baseline" in post.next_steps(tmp_path, "titanic")
    assert f"{tmp_path.name}/data/raw" in post.next_steps(tmp_path, "titanic")
    written(tmp_path, "kgl/rehearsal/__init__.py")
    assert printed_steps(post.next_steps(tmp_path, "titanic")) == [
        ["cd", tmp_path.name],
        ["uv", "sync"],
        ["uv", "run", "kgl", "rehearse"],
    ]
