"""Which Kaggle credentials this machine has, and which of them the client uses. Their content is never shown."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

SETTINGS = "https://www.kaggle.com/settings"
SECRET = re.compile(
    r"KGAT_[\w-]+|(?i:bearer|basic)\s+[\w.~+/=-]{8,}|(?i:authorization|token|key|signature)['\"]?\s*[:=]\s*['\"]?[\w.~+/%=-]{8,}"
)


@dataclass(frozen=True)
class Source:
    """One place that holds credentials, in the order in which the client asks them."""

    place: str
    kind: str
    path: Path | None = None

    @property
    def open_to_others(self) -> bool:
        """Whether other users of this machine can read the file (never told on Windows, where modes say nothing)."""
        return os.name != "nt" and self.path is not None and bool(self.path.stat().st_mode & 0o077)


def sources() -> list[Source]:
    """Every credential found, the one in force first; the others are shadowed by it."""
    home = Path.home() / ".kaggle"
    found = [*_tokens(home), *_keys()]
    if _has(home / "credentials.json", "refresh_token"):
        found.append(Source(str(home / "credentials.json"), "OAuth login", home / "credentials.json"))
    return found


def in_force() -> str:
    """The place of the credentials that the client uses, in words; `no credentials` if there are none."""
    found = sources()
    if not found:
        return "no credentials"
    shadowed = f", which shadows {', '.join(s.place for s in found[1:])}" if len(found) > 1 else ""
    return f"the {found[0].kind} in {found[0].place}{shadowed}"


def masked(text: str) -> str:
    """`text` without anything that looks like a secret, or is one of the secrets in the environment."""
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY"):
        secret = os.environ.get(name, "")
        if len(secret) >= 8 and not Path(secret).exists():
            text = text.replace(secret, "***")
    return SECRET.sub("***", text)


def _tokens(home: Path) -> list[Source]:
    found = []
    if token := os.environ.get("KAGGLE_API_TOKEN"):
        path = Path(token) if Path(token).exists() else None
        place = f"the file {path} (named by KAGGLE_API_TOKEN)" if path else "the variable KAGGLE_API_TOKEN"
        found.append(Source(place, "token", path))
    for path in (home / "access_token", home / "access_token.txt"):
        if path.is_file() and path.read_text(encoding="utf-8", errors="replace").strip():
            found.append(Source(str(path), "token", path))
    return found


def _keys() -> list[Source]:
    found = []
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        found.append(Source("the variables KAGGLE_USERNAME and KAGGLE_KEY", "key"))
    path = _config_folder() / "kaggle.json"
    if _has(path, "username", "key"):
        found.append(Source(str(path), "key", path))
    return found


def _config_folder() -> Path:
    """Where the client looks for kaggle.json: KAGGLE_CONFIG_DIR, else ~/.kaggle, else (Linux) ~/.config/kaggle."""
    if named := os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(named)
    usual = Path.home() / ".kaggle"
    other = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"
    return other if not usual.exists() and (other / "kaggle.json").exists() else usual


def unread_files() -> list[Path]:
    """kaggle.json files that lie where the client does not look at present, or that hold no username and key."""
    places = [Path.home() / ".kaggle", Path.home() / ".config" / "kaggle", _config_folder()]
    read = {source.path for source in sources()}
    return [p for p in dict.fromkeys(folder / "kaggle.json" for folder in places) if p.is_file() and p not in read]


def _has(path: Path, *keys: str) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and all(content.get(key) for key in keys)
