"""The one exception that a user is meant to see."""

from collections.abc import Iterable

DONE, FAILED, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130


class KglError(Exception):
    """One sentence for the user (what, where, got, what to do) and the exit status it ends with.

    Args:
        message: the sentence, without the command's name in front.
        status: 1 failed or bad data; 2 wrong usage, unknown name or key; 3 no credentials or refused by Kaggle.
    """

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def reason(error: BaseException) -> str:
    """The first line of what an exception says, without the full stop that the sentence around it brings."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")


def some(names: Iterable[object], shown: int = 6) -> str:
    """The first of many names, and how many more there are."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:shown]) + (f" and {len(listed) - shown} more" if len(listed) > shown else "")


def usage(message: str) -> KglError:
    """An error of wrong usage: an unknown experiment, key or value (exit status 2)."""
    return KglError(message, USAGE)
