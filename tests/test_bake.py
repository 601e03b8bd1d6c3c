"""What comes out of the template, for good answers and for hostile ones."""

import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from cookiecutter.exceptions import CookiecutterException, FailedHookException
from cookiecutter.generate import generate_context, is_copy_only_path
from jinja2.exceptions import TemplateError

from tests.baking import STARTERS, BakedProject, printed_steps
from tests.conftest import Bake

FILE_LISTS = Path(__file__).parent
RENDERED = {"competition.toml", "README.md"}


@pytest.fixture(scope="session")
def baked(bake_into: Bake, tmp_path_factory: pytest.TempPathFactory) -> dict[str, BakedProject]:
    return {starter: bake_into(tmp_path_factory.mktemp("baked"), starter=starter) for starter in STARTERS}


def slug_of(project: BakedProject) -> str:
    slug = tomllib.loads(project.read("competition.toml"))["slug"]
    assert isinstance(slug, str)
    return slug


def test_every_starter_in_the_template_is_offered_and_none_else(template: Path) -> None:
    offered = generate_context(str(template / "cookiecutter.json"))["cookiecutter"]["starter"]
    assert sorted(offered) == list(STARTERS)


@pytest.mark.parametrize("starter", STARTERS)
def test_a_workspace_has_exactly_the_files_of_its_list(baked: dict[str, BakedProject], starter: str) -> None:
    listed = (FILE_LISTS / f"files_{starter}.txt").read_text("utf-8").split()
    assert sorted(baked[starter].files()) == listed, "if this is meant, write the lists anew with `make file-lists`"


@pytest.mark.parametrize("starter", STARTERS)
def test_no_braces_of_the_template_are_left(baked: dict[str, BakedProject], starter: str) -> None:
    left = re.compile(rb"\{%|cookiecutter\.|\{\{ ?cookiecutter")
    project = baked[starter]
    ours = [name for name in sorted(project.files()) if not name.endswith(".jinja")]  # the report's own page
    assert [name for name in ours if left.search((project.path / name).read_bytes())] == []
    assert [name for name in project.files() if "{" in name or "_starters" in name] == []


@pytest.mark.parametrize("starter", STARTERS)
def test_only_facts_and_readme_are_rendered(template: Path, starter: str) -> None:
    context = generate_context(str(template / "cookiecutter.json"))
    workspace = template / "{{cookiecutter.project_slug}}"
    rendered = set()
    for path in filter(Path.is_file, workspace.rglob("*")):
        name = path.relative_to(workspace)
        if not any(is_copy_only_path(str(part), context) for part in (name, *name.parents)):
            rendered.add(name.as_posix())
    unwanted = sorted(name for name in rendered if Path(name).name not in RENDERED)
    assert unwanted == [], "add these to _copy_without_render of cookiecutter.json"
    assert f"_starters/{starter}/competition.toml" in rendered


@pytest.mark.parametrize("starter", STARTERS)
def test_a_fresh_workspace_has_a_place_for_data_and_no_data(baked: dict[str, BakedProject], starter: str) -> None:
    raw = baked[starter].path / "data" / "raw"
    assert raw.is_dir()
    assert list(raw.iterdir()) == []


def test_the_titanic_starter_is_for_titanic_unless_told_otherwise(bake: Bake) -> None:
    project = bake(starter="titanic")
    assert (project.path.name, slug_of(project)) == ("titanic", "titanic")
    private_copy = bake(starter="titanic", competition="our-class-titanic")
    assert (private_copy.path.name, slug_of(private_copy)) == ("our-class-titanic", "our-class-titanic")


def test_the_image_starter_knows_the_facts_of_its_own_contest_alone(bake: Bake) -> None:
    known, other = (
        tomllib.loads(bake(**answers).read("competition.toml"))
        for answers in ({"starter": "image"}, {"starter": "image", "competition": "some-contest"})
    )
    assert (known["slug"], known["kind"], known["target"]) == ("paddy-disease-classification", "image", ["label"])
    assert (other["slug"], other["kind"], other["target"]) == ("some-contest", "image", [])
    assert known.keys() == other.keys() and known["images"].keys() == other["images"].keys()


@pytest.mark.parametrize("starter", ["tabular", "image"])
def test_two_contests_differ_in_their_slug_alone(bake: Bake, tmp_path: Path, starter: str) -> None:
    one, other = bake(starter=starter, competition="one"), bake(starter=starter, competition="other")
    assert one.files() == other.files()
    differing = {name for name in one.files() if (one.path / name).read_bytes() != (other.path / name).read_bytes()}
    assert differing <= RENDERED
    assert (slug_of(one), slug_of(other)) == ("one", "other")


@pytest.mark.parametrize(
    "competition",
    [
        "titanic",
        " Titanic ",
        "TITANIC\t",
        "titanic/",
        "/titanic",
        "competitions/titanic",
        "/c/titanic/",
        "kaggle.com/c/titanic/data",
        "kaggle.com/competitions//titanic//",
        "www.kaggle.com/competitions/titanic?rvi=1",
        "https://www.kaggle.com/competitions/titanic",
        "https://www.kaggle.com/competitions/titanic/",
        "https://www.kaggle.com/competitions/titanic/overview?x=1#y",
        "https://www.kaggle.com/competitions/titanic#c/other",
        "HTTPS://WWW.KAGGLE.COM/C/Titanic/Leaderboard",
    ],
)
def test_a_pasted_address_is_cut_to_its_slug(bake: Bake, competition: str) -> None:
    project = bake(starter="tabular", competition=competition)
    assert (project.path.name, slug_of(project)) == ("titanic", "titanic")


@pytest.mark.parametrize("name", ["7", "a-", "a--b", "x" * 80, "console", "kgl", "kaggle", "test", "lpt10"])
def test_an_unusual_name_works(bake: Bake, name: str) -> None:
    project = bake(starter="tabular", competition=name)
    assert (project.path.name, slug_of(project)) == (name, name)


HOSTILE = [
    "",
    " ",
    "-",
    "-rf",
    ".",
    "..",
    "two words",
    "under_score",
    "dotted.name",
    'quote"s',
    "apostrophe's",
    '"""',
    "back\\slash",
    "line\nbreak",
    'x"\nevil = "1',
    "tab\tbed",
    "nul\0byte",
    "\u00e9t\u00e9",
    "\u30bf\u30a4\u30bf\u30cb\u30c3\u30af",
    "\U0001f6a2",
    "\u0661\u0662",
    "rtl\u202e",
    "zero\u200bwidth",
    "$HOME",
    "`id`",
    "%PATH%",
    "~",
    "a:b",
    "a|b",
    "<b>",
    "[bold]",
    "#",
    "?",
    "*",
    "{}",
    "}}",
    "x" * 81,
    "x" * 300,
    "https://www.kaggle.com/",
    "https://www.kaggle.com/t/0123456789abcdef",
    "https://www.kaggle.com/competitions/",
]
HOSTILE_FOLDERS = [
    "Upper",
    " padded ",
    "../x",
    "../../x/y",
    "new/er/est",
    "new\\er",
    "/",
    "C:\\x",
    "titanic/",
    "con",
    "nul",
    "com1",
    "lpt9",
    "https://www.kaggle.com/competitions/titanic",
]


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def assert_refused(bake_into: Bake, tmp_path: Path, capfd: pytest.CaptureFixture[str], **answers: str) -> str:
    """Bake two folders down, so that an answer that climbs out would be seen. Returns the sentence."""
    target = tmp_path / "outer" / "inner"
    target.mkdir(parents=True)
    with pytest.raises(FailedHookException):
        bake_into(target, **answers)
    assert everything_below(tmp_path) == ["outer", "outer/inner"]
    sentences = [line for line in capfd.readouterr().err.splitlines() if line.startswith(("competition:", "project_"))]
    assert len(sentences) == 1
    assert sentences[0].isascii()
    return sentences[0]


@pytest.mark.parametrize("answer", HOSTILE, ids=ascii)
def test_a_hostile_contest_is_refused_with_a_sentence(
    bake_into: Bake, tmp_path: Path, capfd: pytest.CaptureFixture[str], answer: str
) -> None:
    sentence = assert_refused(bake_into, tmp_path, capfd, competition=answer, project_slug="fine")
    assert re.fullmatch(r"competition: got \".*\"; .*allowed.*; type .* instead.*\.", sentence)


@pytest.mark.parametrize("answer", HOSTILE + HOSTILE_FOLDERS, ids=ascii)
def test_a_hostile_folder_name_is_refused_with_a_sentence(
    bake_into: Bake, tmp_path: Path, capfd: pytest.CaptureFixture[str], answer: str
) -> None:
    sentence = assert_refused(bake_into, tmp_path, capfd, project_slug=answer)
    match = re.fullmatch(r"project_slug: got \".*\"; .*; type ([a-z0-9-]+) instead\.", sentence)
    assert match
    assert bake_into(tmp_path, project_slug=match[1]).path == tmp_path / match[1], "the suggestion is taken"


@pytest.mark.parametrize("answer", ["{{", "{%", "{{ 7 * 7 }", "{{ nonsense.of.nonsense }}"])
def test_broken_jinja_given_on_the_command_line_leaves_nothing_behind(
    bake_into: Bake, tmp_path: Path, answer: str
) -> None:
    with pytest.raises((CookiecutterException, TemplateError)):
        bake_into(tmp_path, project_slug=answer)
    assert everything_below(tmp_path) == []


def bake_from_the_shell(
    template: Path, config: Path, target: Path, *options: str, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cookiecutter", str(template), "--config-file", str(config), "-o", str(target)]
    return subprocess.run([*command, *options], input=typed, capture_output=True, encoding="utf-8")


@pytest.mark.parametrize("answer", ["{{ 7 * 7 }}", "{{ cookiecutter.starter }}", "{% raw %}"])
def test_typed_jinja_is_not_evaluated(template: Path, cookiecutter_config: Path, tmp_path: Path, answer: str) -> None:
    done = bake_from_the_shell(template, cookiecutter_config, tmp_path, typed=f"1\ntitanic\n{answer}\n")
    assert f'project_slug: got "{answer}"' in done.stderr
    assert done.returncode != 0
    assert everything_below(tmp_path) == []


def test_typed_answers_make_a_workspace(template: Path, cookiecutter_config: Path, tmp_path: Path) -> None:
    typed = "2\nhttps://www.kaggle.com/competitions/some-contest/overview\n\n"
    done = bake_from_the_shell(template, cookiecutter_config, tmp_path, typed=typed)
    assert done.returncode == 0, done.stderr
    assert slug_of(BakedProject(tmp_path / "some-contest")) == "some-contest"


def test_a_folder_with_files_is_refused_and_left_alone(
    bake_into: Bake, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "titanic").mkdir()
    (tmp_path / "titanic" / "mine.txt").write_text("mine")
    with pytest.raises(FailedHookException):
        bake_into(tmp_path, overwrite_if_exists=True)
    assert 'project_slug: the folder "titanic" is not empty' in capfd.readouterr().err
    assert everything_below(tmp_path) == ["titanic", str(Path("titanic", "mine.txt"))]


def test_an_empty_folder_may_be_filled(bake_into: Bake, tmp_path: Path) -> None:
    (tmp_path / "titanic").mkdir()
    assert slug_of(bake_into(tmp_path, overwrite_if_exists=True)) == "titanic"


def test_baking_takes_less_than_two_seconds(template: Path, cookiecutter_config: Path, tmp_path: Path) -> None:
    seconds = []
    for attempt in ("first", "second", "third"):
        start = time.perf_counter()
        done = bake_from_the_shell(template, cookiecutter_config, tmp_path / attempt, "--no-input")
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0, done.stderr
    print(f"baked in {min(seconds):.2f} s")
    assert min(seconds) < 2


@pytest.mark.parametrize("starter", STARTERS)
def test_the_printed_steps_are_commands_alone(
    template: Path, cookiecutter_config: Path, tmp_path: Path, starter: str
) -> None:
    done = bake_from_the_shell(template, cookiecutter_config, tmp_path, "--no-input", f"starter={starter}")
    steps = printed_steps(done.stdout)
    assert done.stdout.isascii()
    assert steps[0][0] == "cd"
    assert steps[1] == ["uv", "sync"]
    assert [step[:3] for step in steps[2:]] == [["uv", "run", "kgl"]] * (len(steps) - 2)
    assert len(steps) > 2
