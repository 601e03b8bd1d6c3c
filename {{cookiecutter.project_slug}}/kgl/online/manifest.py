"""What was downloaded: sizes and hashes, so that whole files are skipped and edited ones are noticed."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from kgl.online.extract import safe_name
from kgl.paths import digest, read_json, write_json

NAME = ".kgl-manifest.json"


@dataclass(frozen=True)
class Remote:
    """A file of Kaggle's list: its bytes, and its version (size and the time it was made)."""

    name: str
    size: int
    version: str

    @property
    def path(self) -> str:
        """Its place below the data folder, safe."""
        return safe_name(self.name, "Kaggle's list of files")


@dataclass(frozen=True)
class Entry:
    """A file on this disk as it was unpacked, and the name and version of the remote file that it came with."""

    size: int
    sha256: str
    mtime_ns: int
    source: str
    version: str


class Manifest:
    """The files below `root` by their path, as they were downloaded."""

    def __init__(self, root: Path) -> None:
        self.root = root
        content = read_json(root / NAME) if (root / NAME).is_file() else {}
        self.files = {path: Entry(**entry) for path, entry in content.items()}

    def save(self) -> None:
        """Write it into the data folder."""
        write_json(self.root / NAME, {path: asdict(entry) for path, entry in self.files.items()})

    def record(self, remote: Remote, hashes: dict[str, str], keep: Collection[Path] = ()) -> None:
        """Note files (sha256 by path below the root) that came with `remote`, but those that stayed as they were."""
        for path, sha256 in hashes.items():
            if self.root / path not in keep:
                status = (self.root / path).stat()
                self.files[path] = Entry(status.st_size, sha256, status.st_mtime_ns, remote.name, remote.version)

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
            changed = any(path in self.files and self.files[path].version != remote.version for path in paths)
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
