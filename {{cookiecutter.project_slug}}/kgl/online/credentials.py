"""Which Kaggle credentials this machine has, and which of them the client uses. Their content is never shown."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

SETTINGS = "https://www.kaggle.com/settings"
SECRET = re.compile(
    r"KGAT_[\w-]+|(?:bearer|basic)\s+[\w.~+/=-]{8,}"
    r"|(?:authorization|token|key|signature)['\"]?\s*[:=]\s*['\"]?[\w.~+/%=-]{8,}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Source:
    """One place that holds credentials."""

    place: str
    kind: str
    path: Path | None = None


def sources() -> list[Source]:
    """Every place with credentials in the order in which the client asks them: the first is in force."""
    home, token = Path.home() / ".kaggle", os.environ.get("KAGGLE_API_TOKEN")
    found = []
    if token and os.path.isfile(token):  # as Path.is_file, but a token longer than a name may be is none
        found.append(Source(f"{token} (named by KAGGLE_API_TOKEN)", "token", Path(token)))
    elif token:
        found.append(Source("the variable KAGGLE_API_TOKEN", "token"))
    for path in (home / "access_token", home / "access_token.txt"):
        if path.is_file() and path.read_text(encoding="utf-8", errors="replace").strip():
            found.append(Source(str(path), "token", path))
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        found.append(Source("the variables KAGGLE_USERNAME and KAGGLE_KEY", "key"))
    keys = next((folder for folder in config_folders() if folder.exists()), home) / "kaggle.json"
    login = home / "credentials.json"
    found += [Source(str(keys), "key", keys)] if _holds(keys, "username", "key") else []
    found += [Source(str(login), "OAuth login", login)] if _holds(login, "refresh_token") else []
    return found


def in_force() -> str:
    """The credentials that the client uses, in words, and what they shadow."""
    first, *others = sources() or [Source("this machine", "missing credentials")]
    shadowed = f" (it shadows {', '.join(other.place for other in others)})" if others else ""
    return f"the {first.kind} in {first.place}{shadowed}"


def masked(text: str) -> str:
    """`text` without anything that looks like a secret or is one of this machine's."""
    for secret in secrets():
        text = text.replace(secret, "***")
    return SECRET.sub("***", text)


def secrets() -> set[str]:
    """The secrets of this machine, to look for where they must not be."""
    named = ("KAGGLE_API_TOKEN", "KAGGLE_KEY")
    found = [os.environ.get(name, "") for name in named if not os.path.isfile(os.environ.get(name, ""))]
    for path in (source.path for source in sources() if source.path):
        text = path.read_text(encoding="utf-8-sig", errors="replace").strip()
        found += re.findall(r'"(?:key|refresh_token)"\s*:\s*"([^"]+)"', text) or [text]
    return {secret for secret in found if len(secret) >= 8}


def config_folders() -> list[Path]:
    """Where a kaggle.json may lie; the client reads the first of these folders that exists."""
    other = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"
    usual = [Path.home() / ".kaggle", other]
    return [Path(named), *usual] if (named := os.environ.get("KAGGLE_CONFIG_DIR")) else usual


def _holds(path: Path, *keys: str) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and all(content.get(key) for key in keys)
