"""The one door to Kaggle: the official client, with time limits, retries and the server's own reasons."""

import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from kgl.errors import REFUSED, KglError, usage
from kgl.online.credentials import SETTINGS, in_force, sources
from kgl.online.refusals import explain, is_passing, pause

T = TypeVar("T")
TIMEOUT, ATTEMPTS = 30.0, 4


@dataclass(frozen=True)
class Contest:
    """Kaggle's facts of a competition; times are UTC."""

    slug: str
    title: str
    metric: str
    deadline: datetime | None
    daily_limit: int
    code_only: bool
    entered: bool
    closed: bool
    medals: bool
    teams: int
    rank: int


class Kaggle:
    """The client for one competition; it connects on the first call.

    Args:
        slug: the last part of the competition's address.
        timeout: seconds that a call may wait for the next bytes.
        attempts: how often a call is tried while the trouble may pass (429, 5xx, lost connections).
        sleep: what waits between tries, in seconds.
    """

    def __init__(
        self,
        slug: str,
        *,
        timeout: float = TIMEOUT,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.slug = checked_slug(slug)
        self.timeout = timeout
        self.attempts = attempts
        self.sleep = sleep
        self._api: Any = None

    def ask(self, question: Callable[[Any], T], *, attempts: int | None = None) -> T:
        """The answer of `question(api)`, where api is the authenticated KaggleApi.

        Raises:
            KglError: no credentials or a refusal with Kaggle's reason (status 3); network or server trouble that
                outlasted the retries (1).
        """
        for attempt in range(1, (attempts or self.attempts) + 1):
            try:
                with time_limit(self.timeout), redirect_stdout(io.StringIO()):
                    return question(self._connect())
            except KglError:
                raise
            except Exception as error:
                wait = pause(error, attempt)
                if not is_passing(error) or wait is None or attempt == (attempts or self.attempts):
                    raise explain(error, self.slug) from error
                self.sleep(wait)
        raise AssertionError("unreachable")

    def call(self, method: str, *, attempts: int | None = None, **fields: Any) -> Any:
        """One call of the competition service, such as `call("get_submission_limits")`, for this competition."""
        try:
            return self.ask(
                lambda api: _call(api, method, {"competition_name": self.slug, **fields}), attempts=attempts
            )
        except KglError as error:
            if error.status == REFUSED and method != "get_competition" and "for no stated reason" in error.message:
                self._explain_by_facts()
            raise

    def contest(self) -> Contest:
        """What Kaggle says about the competition."""
        c = self.call("get_competition")
        return Contest(
            slug=self.slug,
            title=c.title or "",
            metric=c.evaluation_metric or "",
            deadline=c.deadline.replace(tzinfo=UTC) if c.deadline else None,
            daily_limit=c.max_daily_submissions or 0,
            code_only=bool(c.is_kernels_submissions_only),
            entered=bool(c.user_has_entered),
            closed=bool(c.submissions_disabled),
            medals=bool(c.awards_points),
            teams=c.team_count or 0,
            rank=c.user_rank or 0,
        )

    def pages(self) -> dict[str, str]:
        """The competition's pages (description, Evaluation, rules, data): content by name."""
        return {page.name: page.content for page in self.call("list_competition_pages").pages}

    def every(self, method: str, items: str, *, most: int | None = None, **fields: Any) -> list[Any]:
        """All pages of a list call: `every("list_data_files", "files")`, at most about `most` items."""
        found: list[Any] = []
        token: str | None = ""
        while token is not None and (most is None or len(found) < most):
            answer = self.call(method, page_size=200, page_token=token, **fields)
            found += getattr(answer, items) or []
            following = answer.next_page_token or None
            token = following if following != token else None
        return found

    def _explain_by_facts(self) -> None:
        """Raise the true reason of a bare 403, if the competition's facts tell it."""
        if not self.contest().entered:
            raise explain_rules(self.slug)

    def _connect(self) -> Any:
        if self._api is None:
            self._api = _authenticated()
        return self._api


def explain_rules(slug: str) -> KglError:
    """The refusal for rules that were not accepted."""
    return KglError(
        f'Kaggle refused: you have not accepted the rules of "{slug}".\n'
        f"  Accept them at https://www.kaggle.com/competitions/{slug}/rules and run this again.",
        REFUSED,
    )


def checked_slug(slug: str) -> str:
    """`slug` if it can be one.

    Raises:
        KglError: it is empty, a pasted address or otherwise none (status 2).
    """
    if re.fullmatch(r"[A-Za-z0-9_-]+", slug):
        return slug
    found = re.search(r"/(?:competitions|c)/([A-Za-z0-9_-]+)", slug)
    advice = f'write slug = "{found.group(1)}"' if found else "write the last part of the contest's address there"
    raise usage(f"competition.toml: slug: got {slug!r}; {advice}.")


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Requests of this thread that set no timeout get this one, in the block only: the client itself sets none.

    It bounds the connection and every wait for bytes. Connections opened inside keep it while they are read.
    """
    from requests.adapters import HTTPAdapter

    original, owner = HTTPAdapter.send, threading.get_ident()

    def send(self: Any, request: Any, **rest: Any) -> Any:
        if rest.get("timeout") is None and threading.get_ident() == owner:
            rest["timeout"] = seconds
        return original(self, request, **rest)

    HTTPAdapter.send = send  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        HTTPAdapter.send = original  # type: ignore[method-assign]


def _authenticated() -> Any:
    """The client's api object. Importing the package authenticates, and hides what went wrong: so once more, aloud."""
    if not sources():
        raise KglError(
            f"no Kaggle credentials found; create a token at {SETTINGS} (API, Generate New Token) and save it as "
            "~/.kaggle/access_token (docs/kaggle.md, two minutes).",
            REFUSED,
        )
    try:
        import kaggle
    except ImportError as error:
        raise KglError(f"the kaggle client cannot be imported ({error}); run uv sync, then kgl doctor.") from error
    if not kaggle.api._authenticated:
        try:
            kaggle.api.authenticate()
        except SystemExit:
            raise KglError(
                f"Kaggle does not know {in_force()}: it is expired or revoked; create a new one at {SETTINGS}.", REFUSED
            ) from None
    return kaggle.api


def _call(api: Any, method: str, fields: dict[str, Any]) -> Any:
    from kagglesdk.competitions.types import competition_api_service as types

    request = getattr(types, "Api" + method.title().replace("_", "") + "Request")()
    for name, value in fields.items():
        setattr(request, name, value)
    with api.build_kaggle_client() as client:
        return getattr(client.competitions.competition_api_client, method)(request)
