"""Pictures are decoded once, kept in one file that processes share, and bad files are known by row."""

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kgl.image.cache import Pictures, open_pictures
from kgl.image.decode import Pixels, UnreadableImage, decode
from tests.image.corpus import encoded, right_files, scene, wrong_files

SIZE = (24, 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve photos that differ, in a folder beside the cache."""
    (tmp_path / "photos").mkdir()
    for i in range(12):
        shifted = np.roll(scene(), 5 * i, axis=1)
        (tmp_path / "photos" / f"{i}.jpg").write_bytes(encoded(shifted, "JPEG"))
    return tmp_path


NAMES = [f"photos/{i}.jpg" for i in range(12)]


def opened(folder: Path, names: list[str] = NAMES, **options: Any) -> Pictures:
    settings: dict[str, Any] = {"root": folder, "size": SIZE, "cache_dir": folder / "cache"} | options
    return open_pictures(names, **settings)


def kept_files(folder: Path) -> list[Path]:
    return sorted((folder / "cache").glob("*.npy"))


WAYS: dict[str, dict[str, Any]] = {"file": {}, "decoding": {"disk_mb": 0.0}}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_keeping_gives_the_same_pixels(way: str, folder: Path) -> None:
    pictures = opened(folder, **WAYS[way])
    assert (pictures.pixels is not None) == (len(kept_files(folder)) == 1) == (way == "file")
    for row in (7, 0, 7):
        assert np.array_equal(pictures[row], decode(folder / NAMES[row], size=SIZE))


@pytest.mark.parametrize("way", WAYS)
def test_bad_files_are_known_by_row_and_never_take_a_neighbours_picture(way: str, folder: Path) -> None:
    names = list(NAMES)
    for odd in wrong_files():
        (folder / "photos" / odd.name).write_bytes(odd.content)
        names.insert(len(names) // 2, f"photos/{odd.name}")
    names += ["", "photos/none.jpg"]
    pictures = opened(folder, names, **WAYS[way])
    good = [row for row, name in enumerate(names) if name in NAMES]
    assert sorted(pictures.bad) == sorted(set(range(len(names))) - set(good))
    assert {pictures.bad[len(names) - 1], pictures.bad[len(names) - 2]} == {"missing"}
    for row in good:
        assert np.array_equal(pictures[row], decode(folder / names[row], size=SIZE))
    for row in pictures.bad:
        with pytest.raises(UnreadableImage, match=(names[row] or "missing").replace(".", "[.]")):
            pictures[row]


def test_the_corpus_of_odd_files_has_no_bad_one(tmp_path: Path) -> None:
    names = []
    for odd in right_files():
        (tmp_path / odd.name).write_bytes(odd.content)
        names.append(odd.name)
    assert opened(tmp_path, names).bad == {}


def test_a_second_opening_decodes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(folder, [*NAMES, ""])
    monkeypatch.setattr("kgl.image.cache.decode", lambda *_, **__: pytest.fail("decoded again"))
    second = opened(folder, [*NAMES, ""])
    assert second.bad == first.bad == {12: "missing"}
    assert all(np.array_equal(first[row], second[row]) for row in range(12))


def test_too_many_pixels_are_checked_once_for_bad_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(folder, [*NAMES, ""], disk_mb=0.0)
    monkeypatch.setattr("kgl.image.cache.decode", lambda *_, **__: pytest.fail("decoded again"))
    assert opened(folder, [*NAMES, ""], disk_mb=0.0).bad == first.bad == {12: "missing"}


def test_a_changed_file_or_setting_makes_a_new_cache(folder: Path) -> None:
    before = opened(folder)[0].copy()
    (folder / NAMES[0]).write_bytes(encoded(255 - scene(), "PNG"))
    assert not np.array_equal(opened(folder)[0], before)
    assert opened(folder, size=(8, 8))[0].shape == (8, 8, 3)
    assert opened(folder, channels=1)[0].shape == (*SIZE, 1)
    assert not np.array_equal(opened(folder, fit="crop", size=(8, 8))[0], opened(folder, size=(8, 8))[0])
    assert len(kept_files(folder)) == 5


def test_a_moved_workspace_keeps_its_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(folder)
    moved = folder.rename(folder.with_name("moved"))
    monkeypatch.setattr("kgl.image.cache.decode", lambda *_, **__: pytest.fail("decoded again"))
    opened(moved)


def test_the_least_recently_used_go_first_when_the_budget_is_spent(folder: Path) -> None:
    one = 12 * 24 * 32 * 3 / 2**20
    for size in ((24, 32), (32, 24), (24, 32)):
        opened(folder, size=size, disk_mb=2.5 * one)
        time.sleep(0.02)
    old = kept_files(folder)
    opened(folder, size=(16, 48), disk_mb=2.5 * one)
    assert len(kept_files(folder)) == 2
    assert opened(folder, disk_mb=2.5 * one).kept in old


def test_what_is_half_written_is_not_taken_for_a_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("kgl.image.cache.decode", interrupted)
        opened(folder)
    assert not kept_files(folder) and not list((folder / "cache").glob(".*"))
    assert opened(folder).bad == {}


def test_pickled_pictures_carry_no_pixels(folder: Path) -> None:
    pictures = opened(folder, size=(200, 300))
    content = pickle.dumps(pictures)
    assert len(content) < 10_000
    assert np.array_equal(pickle.loads(content)[3], pictures[3])


def test_the_file_of_pixels_cannot_be_changed_by_accident(folder: Path) -> None:
    pictures = opened(folder)
    before = pictures.kept.read_bytes() if pictures.kept else b""
    pictures[0][...] = 7
    assert pictures.kept and pictures.kept.read_bytes() == before


def test_whoever_comes_second_waits_and_decodes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Path] = []

    def counted(path: Path, **options: Any) -> Pixels:
        decoded.append(path)
        time.sleep(0.01)
        return decode(path, **options)

    monkeypatch.setattr("kgl.image.cache.decode", counted)
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: opened(folder), range(3)))
    assert len(decoded) == 12
    assert len({pictures.kept for pictures in found}) == 1
