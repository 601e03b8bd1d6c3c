"""What went wrong with a call, and what the user can do: from the server's own words, which the client hides."""

import json
import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from kgl.errors import FAILED, REFUSED, KglError
from kgl.online.credentials import SETTINGS, in_force, masked

LONGEST_PAUSE = 60.0


def reason(error: Exception) -> tuple[int, str]:
    """The HTTP status (0: no answer came) and the server's own words, with the machine-readable reasons in front."""
    response = getattr(error, "response", None)
    if response is None:
        return 0, str(error)
    try:
        body = response.json()
    except Exception:  # not JSON, or cut: the status is all there is
        return response.status_code, ""
    inner = body.get("error", body) if isinstance(body, dict) else {}
    if not isinstance(inner, dict):
        return response.status_code, str(inner)
    details = [d.get("reason", "") for d in inner.get("details") or [] if isinstance(d, dict)]
    return response.status_code, " ".join(filter(None, [*details, str(inner.get("message") or "")]))


def is_passing(error: Exception) -> bool:
    """Whether the same call may succeed later: 429, 5xx, lost connections, time limits, cut answers."""
    import requests

    status, _ = reason(error)
    if status:
        return status == 429 or status >= 500
    if isinstance(error, requests.exceptions.SSLError):
        return False
    return isinstance(error, (requests.RequestException, ConnectionError, TimeoutError, json.JSONDecodeError))


def pause(error: Exception, attempt: int) -> float | None:
    """Seconds to wait before the next try: as the server asks, else 1, 2, 4...; None if it asks for too long."""
    response = getattr(error, "response", None)
    asked = response.headers.get("Retry-After") if response is not None else None
    if asked is None:
        return min(2.0 ** (attempt - 1), LONGEST_PAUSE)
    seconds = _seconds(asked)
    return max(seconds, 0.0) if seconds <= LONGEST_PAUSE else None


def _seconds(retry_after: str) -> float:
    try:
        return float(retry_after)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except ValueError:
        return 1.0


def reset_time() -> str:
    """When the day's allowance comes back: 00:00 UTC, and how long that is from now."""
    now = datetime.now(UTC)
    minutes = 24 * 60 - (now.hour * 60 + now.minute)
    return f"00:00 UTC, in {minutes // 60} h {minutes % 60:02d} min"


def explain(error: Exception, slug: str) -> KglError:
    """The sentence for the user. Refusals have status 3, network and server trouble 1."""
    status, said = reason(error)
    said = masked(said).strip().rstrip(".")
    if status == 0:
        return _no_answer(error, said)
    if status == 429:
        asked = error.response.headers.get("Retry-After")  # type: ignore[attr-defined]
        wait = f"in {asked} s" if asked and asked.isdigit() else "in some minutes"
        return KglError(f"Kaggle asks to slow down (429); nothing is lost, run this again {wait}.", FAILED)
    if status >= 500:
        return KglError(
            f"Kaggle has trouble ({status}{': ' + said if said else ''}); nothing is lost, run this again later.",
            FAILED,
        )
    return KglError(_refusal(status, said, slug), REFUSED)


def _no_answer(error: Exception, said: str) -> KglError:
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return KglError(
            "the secure connection to Kaggle failed (certificate not accepted); behind a company proxy set "
            "REQUESTS_CA_BUNDLE to its certificate, else run: uv sync --upgrade-package certifi"
        )
    if isinstance(error, (requests.exceptions.Timeout, TimeoutError)):
        return KglError("Kaggle does not answer (time limit reached); nothing is lost, run this again later.")
    if isinstance(error, (requests.exceptions.ConnectionError, ConnectionError)):
        return KglError("no connection to Kaggle; check the network and HTTPS_PROXY, then run this again.")
    kind = type(error).__name__
    return KglError(f"Kaggle's answer could not be read ({kind}: {said[:200]}); is there a login page in between?")


def _refusal(status: int, said: str, slug: str) -> str:
    page = f"https://www.kaggle.com/competitions/{slug}"
    if status == 401:
        return f"Kaggle does not accept {in_force()}; create a new token at {SETTINGS} and put it there."
    if re.search(r"rules", said, re.I):
        return (
            f'Kaggle refused: you have not accepted the rules of "{slug}".\n'
            f"  Accept them at {page}/rules and run this again."
        )
    if re.search(r"identity|phone|verif", said, re.I):
        return f"Kaggle refused: {said}. Verify phone or identity at {SETTINGS} and run this again."
    if re.search(r"limit|allowance|quota|maximum number|submissions? (per|a|each) day", said, re.I):
        return f"Kaggle refused: {said}. The day's allowance is back at {reset_time()}."
    if re.search(r"notebook|kernel", said, re.I):
        return f"Kaggle refused: {said}. This contest takes notebooks only: use kgl notebook."
    if re.search(r"deadline|closed|ended|no longer|not accepting|disabled", said, re.I):
        return f'Kaggle refused: {said}. "{slug}" takes no submissions now; see {page}'
    if status == 404:
        return f'Kaggle knows no contest or file here ("{slug}": {said or "404"}); compare slug in competition.toml with {page}'
    if status == 403:
        return (
            f'Kaggle refused for no stated reason (403{": " + said if said else ""}): the contest "{slug}" does not '
            f"exist or is private, or its rules are not accepted ({page}/rules); compare slug in competition.toml."
        )
    return f"Kaggle refused ({status}): {said or 'no reason given'}."
