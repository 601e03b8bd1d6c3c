"""Contest files and archives that are not as one expects, for the fault-playing Kaggle."""

import io
import stat
import zipfile
from random import Random

from kgl.rehearsal.contest import PracticeContest


def windows_lines(contest: PracticeContest) -> None:
    """Text files with the line ends of Windows."""
    for name, content in contest.files.items():
        if name.endswith(".csv"):
            contest.files[name] = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


ODD_NAMES = (
    "with blank.csv", "größe/naïve ☃.csv", "one/two/three/four.txt", "percent%20sign.csv", "plus+and&.csv",
    "#hash?.txt", ".hidden", "no_ending", "train/1.jpg", "test/1.jpg", "double.csv.zip",
)  # fmt: skip


def odd_files() -> dict[str, bytes]:
    """Files with names that trip programs up, each holding its own name."""
    return {name: name.encode() for name in ODD_NAMES}


def zipped(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """A zip with exactly these names, whatever they are, and symbolic links: name -> target."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, target in (links or {}).items():
            link = zipfile.ZipInfo(name)
            link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, target)
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


def leaving_zip() -> bytes:
    """A zip whose names, and whose link, lead out of the folder that it is unpacked into."""
    outside = ("../outside.txt", "a/../../outside.txt", "/outside.txt", "C:\\outside.txt", "..\\outside.txt")
    files = {"inside.csv": b"a\n1\n", **dict.fromkeys(outside, b"outside"), "link/outside.txt": b"through a link"}
    return zipped(files, links={"link": "..", "passwd": "/etc/passwd"})


def nested_zip() -> bytes:
    """Zips in a zip."""
    inner = zipped({"images/1.png": b"one", "images/2.png": b"two"})
    return zipped({"train.csv": b"a\n1\n", "images.zip": inner, "deep.zip": zipped({"deeper.zip": inner})})


def many_files(count: int, size: int = 700) -> dict[str, bytes]:
    """Small files with contents of their own, as image contests have them by the thousand."""
    random = Random(0)
    return {f"images/{number // 1000}/{number}.png": random.randbytes(size) for number in range(count)}
