"""What was downloaded: sizes and hashes, so that whole files are skipped and edited ones are noticed."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kgl.online.extract import safe_name
from kgl.online.fetch import digest
from kgl.paths import read_json, write_json

NAME = ".kgl-manifest.json"


@dataclass(frozen=True)
class Remote:
    """A file in Kaggle's list: bytes, and the day it was made, which stands for its version."""

    name: str
    size: int
    version: str

    @property
    def path(self) -> str:
        """Its place below the data folder, safe."""
        return safe_name(self.name, "Kaggle's list of files")


@dataclass
class Entry:
    """A file on this disk as it was unpacked, and the file of Kaggle's list that it came with."""

    size: int
    sha256: str
    mtime_ns: int
    source: str


@dataclass
class Manifest:
    """The files below `root` by their path, and the remote files that they are of."""

    root: Path
    files: dict[str, Entry] = field(default_factory=dict)
    sources: dict[str, Remote] = field(default_factory=dict)

    @classmethod
    def load(cls, root: Path) -> "Manifest":
        """The manifest of a data folder; an empty one if there is none."""
        path = root / NAME
        if not path.is_file():
            return cls(root)
        content: dict[str, Any] = read_json(path)
        files = {name: Entry(**entry) for name, entry in content["files"].items()}
        sources = {name: Remote(name, **remote) for name, remote in content["sources"].items()}
        return cls(root, files, sources)

    def save(self) -> None:
        sources = {name: {"size": one.size, "version": one.version} for name, one in self.sources.items()}
        files = {name: asdict(entry) for name, entry in self.files.items()}
        write_json(self.root / NAME, {"sources": sources, "files": files})

    def record(self, remote: Remote, hashes: dict[str, str]) -> None:
        """Note files (sha256 by path, below the root) that came with `remote`."""
        for name, sha256 in hashes.items():
            status = (self.root / name).stat()
            self.files[name] = Entry(status.st_size, sha256, status.st_mtime_ns, remote.name)
        self.sources[remote.name] = remote

    def is_edited(self, name: str) -> bool:
        """Whether the file is there and is not what was downloaded. Its hash is taken only if its time changed."""
        path, entry = self.root / name, self.files[name]
        if not path.exists() or path.stat().st_mtime_ns == entry.mtime_ns:
            return False
        return path.stat().st_size != entry.size or digest(path) != entry.sha256

    def states(self, remotes: list[Remote]) -> tuple[list[Remote], dict[str, Remote]]:
        """The remote files that are missing here or changed at Kaggle, and the local files that were edited."""
        of: dict[str, list[str]] = {}
        for name, entry in self.files.items():
            of.setdefault(entry.source, []).append(name)
        missing: list[Remote] = []
        edited: dict[str, Remote] = {}
        for remote in remotes:
            names = of.get(remote.name) or self._adopt(remote)
            edited |= {name: remote for name in names if name not in self.files or self.is_edited(name)}
            gone = not names or any(not (self.root / name).exists() for name in names)
            if gone or (names[0] in self.files and self.sources.get(remote.name) != remote):
                missing.append(remote)
        return missing, edited

    def _adopt(self, remote: Remote) -> list[str]:
        """A file that was put there by hand: it is taken as the remote one if its size is right, else as edited."""
        path = self.root / remote.path
        if not path.is_file():
            return []
        if path.stat().st_size == remote.size:
            self.record(remote, {remote.path: digest(path)})
        return [remote.path]
