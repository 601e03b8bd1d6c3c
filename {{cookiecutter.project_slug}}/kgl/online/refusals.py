"""What went wrong with a call and what the user can do, from the server's own words, which the client hides."""

import json
import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from kgl.errors import REFUSED, KglError
from kgl.online.credentials import SETTINGS, in_force, masked

LONGEST_PAUSE = 60.0
RULES = 'you have not accepted the rules of "{slug}".\n  Accept them at {page}/rules and run this again.'
ADVICE = (  # words in Kaggle's reason, and the sentence they lead to
    ("rules", RULES),
    ("identity|phone|verif", "{said}. Verify phone or identity at {settings} and run this again."),
    (r"\bgpu\b|accelerat", "{said}. Wait until Kaggle has GPU hours for you again ({settings}), or go without --gpu."),
    ("already in use|already exists", "{said}. Rename or delete that one (https://www.kaggle.com/work), then go on."),
    ("allowance|daily|per day|submission limit|quota", "{said}. The day's allowance is back at {reset}."),
    ("notebook|kernel", "{said}. This contest takes notebooks only: use kgl notebook."),
    (r"deadline|closed|\bended|no longer|disabled", '{said}. "{slug}" takes no submissions now; see {page}'),
)
UNKNOWN = 'it knows no such thing as "{slug}" ({said}); compare slug in competition.toml with {page}'
BARE = "it gave no reason (403{said}): the contest \"{slug}\" does not exist, is private, or its rules are not accepted; see {page} and compare slug in competition.toml."  # fmt: skip # noqa: E501


def status_of(error: Exception) -> int:
    """The HTTP status that an error came with; 0 if no answer came."""
    response = getattr(error, "response", None)
    return 0 if response is None else int(response.status_code)


def is_passing(error: Exception) -> bool:
    """Whether the same call may succeed later: 429, 5xx, lost connections, time limits, cut answers."""
    import requests
    from urllib3.exceptions import HTTPError

    if status := status_of(error):
        return status == 429 or status >= 500
    passing = (requests.RequestException, HTTPError, ConnectionError, TimeoutError, json.JSONDecodeError)
    return isinstance(error, passing) and not isinstance(error, requests.exceptions.SSLError)


def pause(error: Exception, attempt: int) -> float | None:
    """Seconds to wait before the next try: as the server asks, else 1, 2, 4...; None if it asks for too long."""
    asked = _retry_after(error)
    if asked is None:
        return min(2.0 ** (attempt - 1), LONGEST_PAUSE)
    return max(asked, 0.0) if asked <= LONGEST_PAUSE else None


def reset_time() -> str:
    """When the day's allowance comes back: 00:00 UTC, and how long that is from now."""
    now = datetime.now(UTC)
    minutes = 24 * 60 - (now.hour * 60 + now.minute)
    return f"00:00 UTC, in {minutes // 60} h {minutes % 60:02d} min"


def rules_not_accepted(slug: str) -> KglError:
    """The refusal with the address where the rules are accepted; the API has no way to do it."""
    return _refusal(RULES, slug)


def bad_credentials() -> KglError:
    """The refusal of a token or key, and where a new one comes from."""
    return KglError(f"Kaggle does not accept {in_force()}; put a new one there: {SETTINGS}.", REFUSED)


def explain(error: Exception, slug: str) -> KglError:
    """The sentence for the user. Refusals have status 3, network and server trouble 1."""
    status = status_of(error)
    if not status:
        return _no_answer(error)
    reasons, said = _words(error)
    if status == 401:
        return bad_credentials()
    if status == 429:
        wait = f"in {asked:.0f} s" if (asked := _retry_after(error)) else "in some minutes"
        return KglError(f"Kaggle asks to slow down (429). Nothing is lost; run this again {wait}.")
    if status >= 500:
        return KglError(f"Kaggle has trouble ({status} {said}). Nothing is lost; run this again later.")
    if advice := _advice(f"{reasons} {said}"):
        return _refusal(advice, slug, said or reasons)
    advice = {404: UNKNOWN, 403: BARE}.get(status, f"{{said}} ({status}).")
    return _refusal(advice, slug, (said and f": {said}") if status == 403 else said or "no reason given")


def refused(said: str, slug: str) -> KglError:
    """The sentence for an error that came within a good answer, as those about data sets and notebooks do."""
    said = masked(said).strip().rstrip(".")
    return _refusal(_advice(said) or "{said}.", slug, said)


def _advice(said: str) -> str:
    return next((advice for words, advice in ADVICE if re.search(words, said, re.I)), "")


def _refusal(advice: str, slug: str, said: str = "") -> KglError:
    page = f"https://www.kaggle.com/competitions/{slug}"
    filled = advice.format(said=said, slug=slug, page=page, settings=SETTINGS, reset=reset_time())
    return KglError(f"Kaggle refused: {filled}", REFUSED)


def _words(error: Any) -> tuple[str, str]:
    """The machine-readable reasons and the message in an answer's body, without secrets."""
    try:
        body = error.response.json()
    except Exception:  # not JSON, or cut: the status is all there is
        return "", ""
    inner = body.get("error", body) if isinstance(body, dict) else {}
    if not isinstance(inner, dict):
        return "", masked(str(inner))
    reasons = " ".join(str(d.get("reason", "")) for d in inner.get("details") or [] if isinstance(d, dict))
    return reasons, masked(str(inner.get("message") or "")).strip().rstrip(".")


def _retry_after(error: Exception) -> float | None:
    """What the header asks for, in seconds; it is a number or a date."""
    response = getattr(error, "response", None)
    text = response.headers.get("Retry-After", "") if response is not None else ""
    try:
        return float(text) if re.fullmatch(r"[\d.]+", text) else parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None


def _no_answer(error: Exception) -> KglError:
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        advice = "Behind a company's proxy set REQUESTS_CA_BUNDLE to its certificate, else run: uv sync -P certifi"
        return KglError(f"the secure connection to Kaggle failed: its certificate is not accepted. {advice}")
    if isinstance(error, (requests.exceptions.Timeout, TimeoutError)):
        return KglError("Kaggle does not answer in time. Nothing is lost; run this again later.")
    if isinstance(error, (requests.exceptions.ConnectionError, ConnectionError)):
        return KglError("no connection to Kaggle. Check the network and HTTPS_PROXY, then run this again.")
    if re.search("codec can't|header value|name too long", str(error)):  # what Windows' shells and editors add
        return KglError(f"{in_force()} holds more than a token; save it again as plain text, without a BOM.", REFUSED)
    what = f"{type(error).__name__}: {masked(str(error))[:200]}"
    return KglError(f"Kaggle's answer could not be read ({what}). Is there a login page or a proxy in between?")
