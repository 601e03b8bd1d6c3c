"""Dataclasses filled from files and command lines: keys and types are checked, and a refusal says what was meant."""

import ast
import contextlib
import dataclasses
import difflib
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from kgl.errors import KglError, usage

T = TypeVar("T")
UNIONS = (Union, types.UnionType)
MOST_LISTED = 40  # LightGBM knows hundreds of parameters
NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Callable: "a function"}
NAMES |= {type(None): "none", Mapping: "a table of keys", dict: "a table of keys"}


def nearest(word: str, allowed: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the allowed word most like `word`, or nothing."""
    originals = {a.lower(): a for a in allowed}
    found = difflib.get_close_matches(word.lower(), originals, n=1, cutoff=0.5)
    return f" Did you mean '{originals[found[0]]}'?" if found else ""


def unknown_key(key: str, allowed: Iterable[str], where: str) -> KglError:
    """The refusal of a misspelled key."""
    allowed = sorted(allowed)
    listed = f" Allowed: {', '.join(allowed) or 'none'}." if len(allowed) <= MOST_LISTED else ""
    return usage(f"{where}: unknown key '{key}'.{nearest(key, allowed)}{listed}")


def missing_column(table: str, column: str, columns: Iterable[Any], where: str) -> KglError:
    """The refusal of a column that a table lacks (status 1); `where` is the key that names it."""
    hint = nearest(column, map(str, columns))
    return KglError(f"{table} has no column '{column}', named by {where} in competition.toml.{hint}")


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of the dataclass `cls` from plain values; nested dataclasses from nested mappings.

    Raises:
        KglError: a key that `cls` lacks or a value of the wrong type (status 2), naming `where` and the key.
    """
    hints = get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    filled = {}
    for key, value in values.items():
        if key not in names:
            raise unknown_key(key, names, where)
        filled[key] = check_value(hints[key], value, f"{where}: {key}")
    return cls(**filled)


def check_value(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotation `hint` wants it (a list becomes a tuple, 1 becomes 1.0), or a refusal."""
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, Mapping):
            return build(hint, value, where)
        raise usage(f"{where}: expected a table of keys, got {value!r}.")
    origin = get_origin(hint)
    if origin is Literal:
        return _check_choice(get_args(hint), value, where)
    if origin in UNIONS:
        return _first_fitting(hint, value, where, check_value)
    if origin in (tuple, list):
        if isinstance(value, (list, tuple)):
            return origin(check_value(get_args(hint)[0], item, where) for item in value)
        got = getattr(value, "__name__", repr(value))  # features=(title) has lost its comma
        example = f", such as [{got}]" if isinstance(value, str) or callable(value) else ""
        raise usage(f"{where}: expected {describe(hint)}{example}, got {got}.")
    if hint is float and type(value) is int:
        return float(value)
    if not isinstance(value, origin or hint) or (hint is int and isinstance(value, bool)):
        raise usage(f"{where}: expected {describe(hint)}, got {value!r}.")
    return value


def _check_choice(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value in choices:
        return value
    words = [str(c) for c in choices if c]
    raise usage(f"{where}: got {value!r}, allowed: {', '.join(words)}.{nearest(str(value), words)}")


def _first_fitting(hint: Any, value: Any, where: str, read: Callable[[Any, Any, str], Any]) -> Any:
    """`value` as the first alternative of `hint` that takes it."""
    for option in sorted(get_args(hint), key=lambda option: option is not type(None)):
        with contextlib.suppress(KglError):
            return read(option, value, where)
    raise usage(f"{where}: expected {describe(hint)}, got {value!r}.")


def describe(hint: Any) -> str:
    """What an annotation asks for, in words."""
    if get_origin(hint) in UNIONS:
        return " or ".join(describe(option) for option in get_args(hint))
    if get_origin(hint) in (tuple, list):
        return "a list" if get_args(hint)[0] is Any else f"a list, each {describe(get_args(hint)[0])}"
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(hint) if choice)
    return NAMES.get(get_origin(hint) or hint, getattr(hint, "__name__", str(hint)))


def from_text(hint: Any, text: str, where: str) -> Any:
    """A value typed on the command line (`0.05`, `0,1,2`, `true`, `none`) as the annotation wants it."""
    if hint is str or get_origin(hint) is Literal:
        return check_value(hint, {str(c): c for c in get_args(hint)}.get(text, text), where)
    if get_origin(hint) in UNIONS:
        return _first_fitting(hint, text, where, from_text)
    if get_origin(hint) is tuple:
        if isinstance(values := literal(text) if text[:1] in ("[", "(") else None, (list, tuple)):
            return check_value(hint, values, where)
        parts = [part.strip() for part in text.strip("[]()").split(",") if part.strip()]
        return tuple(from_text(get_args(hint)[0], part, where) for part in parts)
    return check_value(hint, literal(text), where)


def literal(text: str) -> Any:
    """A Python value written as text; `true`, `false` and `none` in any case; anything else stays text."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
