"""The workspace is found upwards, and files are written whole or not at all."""

import importlib
import os
import sys
from pathlib import Path

import pytest

from kgl.errors import KglError, reason, usage
from kgl.paths import Workspace, find_workspace, read_json, replacing, use_workspace, write_json, write_text
from tests.conftest import Tiny


def test_the_workspace_is_found_from_any_folder_in_it(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_workspace() == Workspace(tiny.root.resolve())
    monkeypatch.chdir(tiny.root / "data" / "raw")
    assert find_workspace() == Workspace(tiny.root.resolve())


def test_outside_a_workspace_every_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (("board",), ("train", "x"), ("folds",), ("submit",)):
        result = Tiny(tmp_path).kgl(*command)
        assert result.status == 2 and "no competition.toml in" in result.err and len(result.err.splitlines()) == 1


def test_files_are_written_as_utf8_with_unix_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "file.txt", "é\nb\n")
    assert (tmp_path / "new" / "file.txt").read_bytes() == "é\nb\n".encode()
    write_json(tmp_path / "file.json", {"é": [1, None]})
    assert read_json(tmp_path / "file.json") == {"é": [1, None]}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, float("nan"))
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_written_files_can_be_read_by_others(tmp_path: Path) -> None:
    write_text(tmp_path / "file.txt", "x")
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o644


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    for content in (b"{", b"\xff"):
        (tmp_path / "file.json").write_bytes(content)
        with pytest.raises(KglError, match=r"file\.json is not valid JSON .*restore it from git or delete it"):
            read_json(tmp_path / "file.json")


def test_the_users_modules_come_before_others_of_their_name(tiny: Tiny) -> None:
    use_workspace(tiny.workspace)
    use_workspace(tiny.workspace)
    assert sys.path[0] == str(tiny.root) and sys.path.count(str(tiny.root)) == 1
    assert Path(str(importlib.import_module("contest").__file__)).parent == tiny.root


def test_an_error_carries_its_status_and_one_line() -> None:
    assert (usage("x").status, KglError("x").status) == (2, 1)
    assert reason(ValueError("first.\nsecond")) == "first"
    assert reason(ValueError()) == "ValueError"
