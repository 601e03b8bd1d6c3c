"""The one door to Kaggle: the official client, with time limits, retries and the server's own reasons."""

import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from itertools import count
from types import SimpleNamespace
from typing import Any, TypeVar

from kgl.errors import FAILED, REFUSED, KglError, usage
from kgl.online.credentials import SETTINGS, config_folders, sources
from kgl.online.refusals import bad_credentials, explain, is_passing, pause, rules_not_accepted, status_of

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0  # seconds between two looks, growing by half
T = TypeVar("T")


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


@dataclass
class Kaggle:
    """The client for one competition; it connects on the first call.

    slug: the last part of the competition's address. say: told of each pause before another try.
    timeout: seconds that a call may wait for the next bytes. attempts: how often a call is tried while the trouble may
    pass.
    """

    slug: str
    say: Callable[[str], None] = lambda line: None
    timeout: float = 20.0
    attempts: int = 4

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.slug):
            found = re.search(r"/(?:competitions|c)/([A-Za-z0-9_-]+)", self.slug)
            advice = f'"{found[1]}"' if found else "the last part of the contest's address"
            raise usage(f'competition.toml: slug: got "{self.slug}"; write {advice} there.')

    def ask(self, question: Callable[[Any], T], *, attempts: int | None = None) -> T:
        """The answer of `question(api)`, where api is the authenticated KaggleApi.

        Raises:
            KglError: no credentials, or a refusal with Kaggle's reason (3); trouble that outlasted the retries (1).
        """
        for attempt in count(1):
            try:
                with time_limit(self.timeout), redirect_stdout(io.StringIO()):
                    return question(_authenticated())
            except KglError:
                raise
            except Exception as error:
                wait = pause(error, attempt)
                if not is_passing(error) or wait is None or attempt >= (attempts or self.attempts):
                    raise explain(error, self.slug) from error
                self.say(f"{explain(error, self.slug).message.partition('. ')[0]}; next try in {wait:.0f} s")
            time.sleep(wait)
        raise AssertionError("unreachable")

    def call(self, method: str, *, attempts: int | None = None, **fields: Any) -> Any:
        """One call: `call("get_submission_limits")` for this competition, or `call("kernels.get_kernel", ...)`."""
        ours = "." not in method
        whole = f"competitions.{method}" if ours else method
        fields |= {"competition_name": self.slug} if ours else {}
        try:
            return self.ask(lambda api: _call(api, whole, fields), attempts=attempts)
        except KglError as error:
            bare = ours and "it gave no reason" in error.message and method != "get_competition"
            if bare and not self.contest().entered:
                raise rules_not_accepted(self.slug) from error
            raise

    def find(self, method: str, **fields: Any) -> Any:
        """As `call`, but None where the user has no such thing: Kaggle says 403 or 404 then."""
        try:
            return self.call(method, **fields)
        except KglError as error:
            if isinstance(error.__cause__, Exception) and status_of(error.__cause__) in (403, 404):
                return None
            raise

    def once(self, make: Callable[[], Any], look: Callable[[], T]) -> tuple[Any, T]:
        """Make something and look whether it is there; it is not made again while it may be.

        make: a call with `attempts=1`. look: false while nothing is seen.

        Returns:
            what `make` gave (None where its answer was lost), and what `look` saw.

        Raises:
            KglError: refused (3); trouble each time, and it is not there (1).
        """
        for left in reversed(range(self.attempts)):
            try:
                return make(), look()
            except KglError as error:
                if error.status != FAILED:
                    raise
                time.sleep(2.0)
                if found := look():
                    return None, found
                if not left:
                    raise
        raise AssertionError("unreachable")

    def wait(self, look: Callable[[], T], longest: float) -> T | None:
        """What `look` sees at last, asked from time to time; None where `longest` seconds have passed in vain.

        Trouble that may pass ends no wait.
        """
        waited, pause = 0.0, FIRST_PAUSE
        while waited < longest:
            try:
                if seen := look():
                    return seen
            except KglError as error:
                if error.status != FAILED:
                    raise
            time.sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, LONGEST_PAUSE)
        return None

    def owner(self) -> str:
        """The name of the user who is signed in, as it stands in the addresses of notebooks and data sets."""
        return str(self.ask(lambda api: api.get_config_value("username")))

    def every(self, method: str, items: str, *, most: int | None = None, **fields: Any) -> list[Any]:
        """All pages of a list, such as `every("list_data_files", "files")`; with `most` no page beyond that many."""
        found: list[Any] = []
        token, seen = "", set[str]()
        while token not in seen and (most is None or len(found) < most):
            seen.add(token)
            answer = self.call(method, page_size=200, page_token=token, **fields)
            found += getattr(answer, items) or []
            token = answer.next_page_token or token
        return found

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


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Requests of this thread that set no timeout get this one, inside the block only: the client itself sets none.

    It bounds the connection and each wait for bytes; connections opened inside keep it while they are read.
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
        create = f"Create a token at {SETTINGS} (API, Generate New Token) and save it as ~/.kaggle/access_token"
        files = [path for folder in config_folders() if (path := folder / "kaggle.json").is_file()]
        useless = f" ({files[0]} holds no username and key, or no JSON)" if files else ""
        raise KglError(f"no Kaggle credentials found{useless}. {create}; the README shows how.", REFUSED)
    import kaggle

    _take_unknown_words()
    if not kaggle.api._authenticated:
        try:
            kaggle.api.authenticate()
        except SystemExit:
            raise bad_credentials() from None
    return kaggle.api


@cache
def _take_unknown_words() -> None:
    """Let a word that the client does not know, such as a new status, stand as it is: the client refuses the answer."""
    with suppress(ImportError, AttributeError):  # inside of the client, which another version may build otherwise
        from kagglesdk.kaggle_object import EnumSerializer

        def lenient(cls: Any, word: str, known: Any = EnumSerializer._from_str) -> Any:
            with suppress(KeyError):
                return known(cls, word)
            return SimpleNamespace(name=word)

        EnumSerializer._from_str = staticmethod(lenient)


def _call(api: Any, method: str, fields: dict[str, Any]) -> Any:
    service, name = method.split(".")
    stem = service.removesuffix("s") if service != "kernels" else service  # competition_api_client, kernels_api_client
    types = import_module(f"kagglesdk.{service}.types.{stem}_api_service")
    request = getattr(types, "Api" + name.title().replace("_", "") + "Request")()
    for field, value in fields.items():
        setattr(request, field, value)
    with api.build_kaggle_client() as client:
        return getattr(getattr(getattr(client, service), f"{stem}_api_client"), name)(request)
