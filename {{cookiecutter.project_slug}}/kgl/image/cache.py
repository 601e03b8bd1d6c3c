"""All pictures of a part: decoded once, kept resized as uint8 in a file that processes share, within a budget."""

import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from kgl.image.decode import Fit, Pixels, Size, UnreadableImage, decode
from kgl.image.threads import pool
from kgl.paths import read_json, replacing, write_json
from kgl.session import Say

VERSION = 1  # of how files become pixels: a higher one makes older caches void
MB = 1 << 20
SAY_EVERY = 15  # seconds


@dataclass(frozen=True)
class Pictures:
    """Pictures of one size by their row number.

    Args:
        files: where each lies.
        size, channels, fit: see `kgl.image.decode.decode`.
        bad: the rows whose file has no right picture, and why. They cannot be loaded.
        kept: the file of pixels (n, height, width, channels), if there is one.
        key: of all this, as it was when they were opened.
    """

    files: tuple[Path, ...]
    size: Size
    channels: int = 3
    fit: Fit = "squash"
    bad: dict[int, str] = field(default_factory=dict)
    kept: Path | None = None
    pixels: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    key: str = ""

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Pixels:
        """The pixels of a row, (height, width, channels); not to be written to."""
        if row in self.bad:
            raise UnreadableImage(self.files[row], self.bad[row])
        if self.pixels is not None:
            return self.pixels[row]  # type: ignore[no-any-return]
        return decode(self.files[row], channels=self.channels, size=self.size, fit=self.fit)

    def __getstate__(self) -> dict[str, Any]:
        """Without the pixels: another process opens the file itself."""
        return self.__dict__ | {"pixels": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.kept:
            self.__dict__["pixels"] = _open(self.kept)


def open_pictures(
    paths: Sequence[str],
    *,
    root: Path,
    size: Size,
    channels: int = 3,
    fit: Fit = "squash",
    cache_dir: Path,
    disk_mb: float = 20_000,
    say: Say | None = None,
) -> Pictures:
    """Decode every file once, keep the pixels if the budget allows, and find out which files are bad.

    Open all rows of train (or of test) at once and choose from them by number: then folds, seeds and processes share
    one file of pixels. It is made by the first process; others wait for it. Where the pixels do not fit the budget,
    nothing but the list of bad files is kept, and each load decodes.

    Args:
        paths: relative to `root`; an empty one is a missing file.
        cache_dir: where the file of pixels is kept.
        disk_mb: the most that all of them there may take; the oldest go first.
        say: takes a line of progress now and then.
    """
    pictures = Pictures(tuple(root / path if path else Path() for path in paths), size, channels, fit)
    needed = len(paths) * size[0] * size[1] * channels / MB
    cache_dir.mkdir(parents=True, exist_ok=True)
    pictures = replace(pictures, key=_key(pictures, paths))
    listed, kept = cache_dir / f"{pictures.key}.json", cache_dir / f"{pictures.key}.npy"
    with FileLock(cache_dir / "pictures.lock"):
        if kept.is_file() and listed.is_file():
            with suppress(OSError):
                os.utime(kept)  # the least recently used go first
            return replace(pictures, bad=_read_bad(listed), kept=kept, pixels=_open(kept))
        if needed <= disk_mb and _make_room(cache_dir, needed, disk_mb):
            with replacing(kept) as temporary:
                shape = (len(pictures), *size, channels)
                pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
                bad = _decode_all(pictures, pixels, say)
                pixels.flush()
                del pixels  # Windows renames no file that is mapped
                write_json(listed, bad)
            return replace(pictures, bad=bad, kept=kept, pixels=_open(kept))
        if not listed.is_file():
            write_json(listed, _decode_all(pictures, None, say))
        return replace(pictures, bad=_read_bad(listed))


def _key(pictures: Pictures, paths: Sequence[str]) -> str:
    digest = hashlib.sha256(repr((VERSION, pictures.size, pictures.channels, pictures.fit)).encode())
    for path, file in zip(paths, pictures.files, strict=True):
        try:
            known = file.stat() if path else None
        except OSError:
            known = None
        digest.update(repr((path, known and (known.st_size, known.st_mtime_ns))).encode())
    return f"pictures-{digest.hexdigest()[:16]}"


def _decode_all(pictures: Pictures, pixels: NDArray[np.uint8] | None, say: Say | None) -> dict[int, str]:
    """Fill `pixels` if there are any; returns the bad rows."""

    def one(row: int) -> str:
        try:
            picture = pictures[row]
        except UnreadableImage as error:
            return error.reason
        if pixels is not None:
            pixels[row] = picture
        return ""

    bad, told = {}, time.monotonic()
    with pool() as threads:
        for row, reason in enumerate(threads.map(one, range(len(pictures)))):
            if reason:
                bad[row] = reason
            if say and time.monotonic() - told > SAY_EVERY:
                told = time.monotonic()
                say(f"pictures: {row + 1:,} of {len(pictures):,} decoded")
    return bad


def _open(kept: Path) -> NDArray[np.uint8]:
    # copy on write: torch refuses read-only arrays, and the file stays as it is
    return np.asarray(np.load(kept, mmap_mode="c"))  # a plain array, whose rows are taken much faster than a memmap's


def _make_room(cache_dir: Path, needed: float, disk_mb: float) -> bool:
    """Delete the least recently used files of pixels that are too many; whether `needed` MB then fit on the disk."""
    files = sorted(cache_dir.glob("pictures-*.npy"), key=lambda file: file.stat().st_mtime)
    used = sum(file.stat().st_size for file in files) / MB
    for file in files:
        if used + needed <= disk_mb and shutil.disk_usage(cache_dir).free / MB > 2 * needed:
            break
        used -= file.stat().st_size / MB
        with suppress(OSError):  # Windows: in use
            file.unlink()
            file.with_suffix(".json").unlink()
    return shutil.disk_usage(cache_dir).free / MB > 1.1 * needed


def _read_bad(listed: Path) -> dict[int, str]:
    """The bad rows, which JSON has made texts of."""
    return {int(row): str(reason) for row, reason in read_json(listed).items()}
