"""Each odd file is read rightly or refused by name."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kgl.image.decode import UnreadableImage, decode, resize
from tests.image.corpus import HEIGHT, WIDTH, Odd, encoded, right_files, scene, turned, wrong_files

RIGHT, WRONG = list(right_files()), list(wrong_files())


def write(folder: Path, odd: Odd) -> Path:
    path = folder / odd.name
    path.write_bytes(odd.content)
    return path


def differs(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("odd", RIGHT, ids=[odd.name for odd in RIGHT])
def test_an_odd_file_shows_what_a_person_sees(odd: Odd, tmp_path: Path) -> None:
    assert odd.pixels is not None
    pixels = decode(write(tmp_path, odd))
    assert pixels.dtype == np.uint8
    assert differs(pixels, odd.pixels) <= odd.off


@pytest.mark.parametrize("odd", WRONG, ids=[odd.name for odd in WRONG])
@pytest.mark.parametrize("size", [None, (8, 8)])
def test_a_wrong_file_is_refused_by_name(odd: Odd, size: tuple[int, int] | None, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=odd.reason) as caught:
        decode(write(tmp_path, odd), size=size)
    assert caught.value.path.endswith(odd.name)
    assert odd.name in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="missing"):
        decode(tmp_path / "none.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(UnreadableImage, match=r"folder\.jpg"):
        decode(tmp_path / "folder.jpg")


def test_the_reason_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(UnreadableImage("a.jpg", "empty")))
    assert (error.path, error.reason, str(error)) == ("a.jpg", "empty", "a.jpg: empty")


@pytest.mark.parametrize("odd", RIGHT, ids=[odd.name for odd in RIGHT])
def test_grey_is_the_luma_of_the_colours(odd: Odd, tmp_path: Path) -> None:
    assert odd.pixels is not None
    luma = (odd.pixels @ np.array([0.299, 0.587, 0.114]))[:, :, None].round()
    assert differs(decode(write(tmp_path, odd), channels=1), luma) <= odd.off + 2


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8])
def test_a_huge_photo_is_decoded_at_a_fraction_and_looks_the_same(orientation: int, tmp_path: Path) -> None:
    seen = scene(2250, 3000)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = seen if orientation == 1 else turned(seen, orientation)
    path = write(tmp_path, Odd("huge.jpg", encoded(stored, "JPEG", quality=90, exif=exif), None))
    means = seen.reshape(90, 25, 120, 25, 3).mean(axis=(1, 3)).round()  # of blocks: what a smaller one should show
    off = np.abs(decode(path, size=(90, 120)).astype(int) - means)
    assert off[:, :, :2].max() <= 6
    assert off[:, :, 2].mean() < 1  # blue has an edge


def test_sizes_are_reached_by_squashing_cropping_or_padding() -> None:
    picture = scene(40, 80)
    picture[:, :20], picture[:, 60:] = 0, 0  # what a square in the middle leaves out
    squashed, cropped, padded = (resize(picture, (20, 20), fit) for fit in ("squash", "crop", "pad"))
    assert squashed.shape == cropped.shape == padded.shape == (20, 20, 3)
    assert (squashed[:, :4] == 0).all() and squashed[10, 10, 0] > 0
    assert cropped[:, :, 0].min() > 0
    assert (padded[:5] == 0).all() and (padded[15:] == 0).all() and padded[10, 10, 0] > 0


def test_resizing_is_a_weighted_mean_not_a_choice_of_pixels() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = resize(stripes, (16, 16))[2:-2, 2:-2]
    assert differs(inner, np.full_like(inner, 127)) <= 2


def test_the_same_size_changes_nothing() -> None:
    assert differs(resize(scene(), (HEIGHT, WIDTH)), scene()) == 0
