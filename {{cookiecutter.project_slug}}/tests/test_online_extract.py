"""Archives: what is unpacked where, and what is refused."""

import hashlib
import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from kgl.errors import KglError
from kgl.online.extract import CORRUPT, unpack


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def unpacked(folder: Path, content: bytes) -> dict[str, bytes]:
    (folder / "a.zip").write_bytes(content)
    found = unpack(folder / "a.zip", folder / "out")
    files = {path: (folder / "out" / path).read_bytes() for path in found}
    assert all(found[path].sha256 == hashlib.sha256(data).hexdigest() for path, data in files.items())
    assert sorted(files) == sorted(p.relative_to(folder / "out").as_posix() for p in (folder / "out").rglob("*.*"))
    return files


def test_files_and_folders_come_out_as_they_went_in(tmp_path: Path) -> None:
    members = {"train.csv": b"a,b\r\n1,2\r\n", "images/1.jpg": os.urandom(3_000_000), "größe öl.csv": b"x"}
    assert unpacked(tmp_path, zipped(members)) == members


def test_a_nested_zip_is_unpacked_beside_itself_or_into_a_folder_of_its_name(tmp_path: Path) -> None:
    inner = {
        "train.zip": zipped({"train/1.jpg": b"1", "train/2.jpg": b"2"}),  # a folder of its own name
        "test.zip": zipped({"3.jpg": b"3", "4.jpg": b"4"}),  # loose files
        "data/sales.csv.zip": zipped({"sales.csv": b"s"}),  # one file
        "deep.zip": zipped({"inner.zip": zipped({"5.txt": b"5"})}),
    }
    assert unpacked(tmp_path, zipped(inner)) == {
        "train/1.jpg": b"1",
        "train/2.jpg": b"2",
        "test/3.jpg": b"3",
        "test/4.jpg": b"4",
        "data/sales.csv": b"s",
        "5.txt": b"5",
    }


def test_a_nested_zip_that_cannot_be_read_stays_as_it_is(tmp_path: Path) -> None:
    members = {"broken.zip": zipped({"1.jpg": bytes(1000)})[:-30], "a.csv": b"a"}
    assert unpacked(tmp_path, zipped(members)) == members


@pytest.mark.parametrize(
    "name", ["../out.txt", "a/../../out.txt", "/out.txt", "\\out.txt", "..\\out.txt", "C:\\out.txt"]
)
def test_what_leads_outside_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"good.csv": b"g", name: b"evil"}))
    with pytest.raises(KglError, match="outside the data folder"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(KglError, match="holds a link"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    content = bytearray(zipped({"train.csv": os.urandom(5000)}))
    content[2500] ^= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(CORRUPT):
        unpack(tmp_path / "a.zip", tmp_path / "out")
