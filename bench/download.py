"""Memory and speed of kgl download, side by side with what it is compared with.

    python bench/download.py [--gigabytes 2] [--images 20000]        # on Linux

Fetching and unpacking a large archive must stay under 200 MB of memory; unpacking thousands of small images must take
at most 1.2 times as long as `zipfile.extractall`, though each file is hashed as well.
"""

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ENGINE = Path(__file__).resolve().parent.parent / "{{cookiecutter.project_slug}}"
sys.path.insert(0, str(ENGINE))

FETCH = """
import re, sys, time
from pathlib import Path
from kgl.online.client import Kaggle
from kgl.online.download import download
began = time.perf_counter()
kaggle = Kaggle("practice", timeout=600)
download(kaggle, Path(sys.argv[1]), overwrite=lambda names: False)
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())  # ru_maxrss knows this process's parent
print(time.perf_counter() - began, peak[1])
"""


def fetch_large(gigabytes: float, folder: Path) -> None:
    """Fetch and unpack one archive of that size; prints seconds and peak memory."""
    from kgl.rehearsal.contest import Answer, PracticeContest
    from kgl.rehearsal.server import PracticeKaggle

    large = folder / "large.bin"
    with large.open("wb") as file:
        for _ in range(int(gigabytes * 1000)):
            file.write(os.urandom(1_000_000))
    contest = PracticeContest(
        slug="practice", files={"large.bin": large.read_bytes(), "small.csv": b"a\n1\n"},
        solution={"1": Answer("0", True), "2": Answer("0", False)}, columns=("id", "y"),
    )  # fmt: skip
    with PracticeKaggle(contest) as kaggle:
        env = {**kaggle.environment(folder / "home"), "PYTHONPATH": str(ENGINE)}
        command = [sys.executable, "-c", FETCH, str(folder / "raw")]
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    seconds, peak = map(float, done.stdout.split())
    megabytes = peak * 1024 / 1e6
    with large.open("rb") as one, (folder / "raw" / "large.bin").open("rb") as other:
        same = hashlib.file_digest(one, "sha256").digest() == hashlib.file_digest(other, "sha256").digest()
    print(f"fetch and unpack {gigabytes} GB: peak memory {megabytes:.0f} MB (must be under 200), bit-identical: {same}")
    print(f"  in {seconds:.0f} s, the practice server's own packing included")


def unpack_images(count: int, folder: Path, repeats: int = 5) -> None:
    """Unpack small images with `zipfile.extractall` and with kgl, in turn; prints the ratio of the medians."""
    from kgl.online.extract import unpack

    packed = folder / "images.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(count):
            archive.writestr(f"train/{number}.jpg", os.urandom(6000))
    times: dict[str, list[float]] = {"extractall": [], "kgl": []}
    for turn in range(repeats):
        for name in times if turn % 2 else reversed(times):
            with tempfile.TemporaryDirectory(dir=folder) as target:
                began = time.perf_counter()
                if name == "kgl":
                    unpack(packed, Path(target))
                else:
                    with zipfile.ZipFile(packed) as archive:
                        archive.extractall(target)
                times[name].append(time.perf_counter() - began)
    ours, theirs = statistics.median(times["kgl"]), statistics.median(times["extractall"])
    print(
        f"unpack {count:,} images: kgl {ours:.2f} s, extractall {theirs:.2f} s, ratio {ours / theirs:.2f} (at most 1.2)"
    )


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--images", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        unpack_images(options.images, Path(folder))
        fetch_large(options.gigabytes, Path(folder))


if __name__ == "__main__":
    main()
