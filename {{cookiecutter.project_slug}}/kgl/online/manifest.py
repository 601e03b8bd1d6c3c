"""What was downloaded: sizes and hashes, so that whole files are skipped and edited ones are noticed."""

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kgl.online.extract import safe_name
from kgl.online.fetch import digest
from kgl.paths import read_json, write_json

NAME = ".kgl-manifest.json"


@dataclass(frozen=True)
class Remote:
    """A file of Kaggle's list: bytes, and the time it was made, which stands for its version."""

    name: str
    size: int
    version: str

    @property
    def path(self) -> str:
        """Its place below the data folder, safe."""
        return safe_name(self.name, "Kaggle's list of files")


@dataclass(frozen=True)
class Entry:
    """A file on this disk as it was unpacked, and the name of the remote file that it came with."""

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
        content = read_json(root / NAME) if (root / NAME).is_file() else {"files": {}, "sources": {}}
        files = {name: Entry(**entry) for name, entry in content["files"].items()}
        return cls(root, files, {name: Remote(**remote) for name, remote in content["sources"].items()})

    def save(self) -> None:
        """Write it into the data folder."""
        sources = {name: asdict(remote) for name, remote in self.sources.items()}
        write_json(self.root / NAME, {"sources": sources, "files": {path: asdict(e) for path, e in self.files.items()}})

    def record(self, remote: Remote, hashes: dict[str, str]) -> None:
        """Note files (sha256 by path below the root) that came with `remote`."""
        for path, sha256 in hashes.items():
            status = (self.root / path).stat()
            self.files[path] = Entry(status.st_size, sha256, status.st_mtime_ns, remote.name)
        self.sources[remote.name] = remote

    def compare(self, remotes: list[Remote]) -> tuple[list[Remote], dict[str, Remote]]:
        """The remote files that are missing here or changed at Kaggle; and the edited local ones, by path."""
        of = defaultdict(list)
        for path, entry in self.files.items():
            of[entry.source].append(path)
        missing: list[Remote] = []
        edited: dict[str, Remote] = {}
        for remote in remotes:
            paths = of[remote.name] or self._adopt(remote)
            edited |= {path: remote for path in paths if self._is_edited(path)}
            changed = paths and paths[0] in self.files and self.sources.get(remote.name) != remote
            if changed or not paths or not all((self.root / path).exists() for path in paths):
                missing.append(remote)
        return missing, edited

    def _is_edited(self, name: str) -> bool:
        """Whether a file is there and is not what was downloaded. Its hash is taken only if its time changed."""
        path, entry = self.root / name, self.files.get(name)
        if entry is None or not path.exists() or path.stat().st_mtime_ns == entry.mtime_ns:
            return entry is None
        return path.stat().st_size != entry.size or digest(path) != entry.sha256

    def _adopt(self, remote: Remote) -> list[str]:
        """A file that was put there by hand: noted as the remote one if its size is right, else it counts as edited."""
        path = self.root / remote.path
        if path.is_file() and path.stat().st_size == remote.size:
            self.record(remote, {remote.path: digest(path)})
        return [remote.path] if path.is_file() else []
