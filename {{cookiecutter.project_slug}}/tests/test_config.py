"""Values from files and command lines are what the annotation says, or refused with what was meant."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgl.config import build, check_value, from_text, literal, nearest
from kgl.errors import USAGE, KglError


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    kind: Literal["", "plain", "fancy"] = ""
    count: int = 1
    inner: Inner = field(default_factory=Inner)


def test_nested_tables_become_dataclasses() -> None:
    made = build(Outer, {"kind": "fancy", "inner": {"rate": 1, "names": ["a", "b"]}}, "file")
    assert made == Outer("fancy", 1, Inner(1.0, ("a", "b")))
    assert type(made.inner.rate) is float


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"cuont": 1}, "file: unknown key 'cuont'. Did you mean 'count'? Allowed: count, inner, kind."),
        ({"inner": {"name": []}}, "file: inner: unknown key 'name'. Did you mean 'names'? Allowed: names, rate."),
        ({"kind": "fency"}, "file: kind: got 'fency', allowed: plain, fancy. Did you mean 'fancy'?"),
        ({"kind": ["plain"]}, "file: kind: got ['plain'], allowed: plain, fancy."),
        ({"count": "1"}, "file: count: expected a whole number, got '1'."),
        ({"count": 1.5}, "file: count: expected a whole number, got 1.5."),
        ({"count": True}, "file: count: expected a whole number, got True."),
        ({"count": False}, "file: count: expected a whole number, got False."),
        ({"inner": {"rate": True}}, "file: inner: rate: expected a number, got True."),
        ({"inner": 3}, "file: inner: expected a table of keys, got 3."),
        ({"inner": {"names": "a"}}, "file: inner: names: expected a list, each a text, such as ['a'], got 'a'."),
        ({"inner": {"names": [1]}}, "file: inner: names: expected a text, got 1."),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_place_and_right_one(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(KglError) as refused:
        build(Outer, values, "file")
    assert refused.value.message.startswith(sentence)
    assert refused.value.status == USAGE


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (int, "5", 5),
        (float, "5", 5.0),
        (float, "1e-3", 0.001),
        (bool, "TRUE", True),
        (str, "0001", "0001"),
        (str, "true", "true"),
        (Literal["", "a"], "a", "a"),
        (Literal[1, 3], "1", 1),
        (tuple[int, ...], "0,1,2", (0, 1, 2)),
        (tuple[int, ...], "7", (7,)),
        (tuple[int, ...], "", ()),
        (tuple[str, ...], "a, b", ("a", "b")),
        (tuple[str, ...], "[a,b]", ("a", "b")),
        (tuple[str, ...], "['a, b', \"c\"]", ("a, b", "c")),
        (tuple[str, ...], "1,2", ("1", "2")),
        (tuple[str, ...] | None, "a,b", ("a", "b")),
        (tuple[str, ...] | None, "none", None),
        (int | None, "None", None),
        (int | str, "x", "x"),
        (Any, "0.5", 0.5),
        (Any, "lightgbm", "lightgbm"),
    ],
)
def test_text_of_the_command_line_becomes_what_the_annotation_says(hint: Any, text: str, value: Any) -> None:
    made = from_text(hint, text, "key")
    assert made == value and type(made) is type(value)


@pytest.mark.parametrize(
    ("hint", "text", "sentence"),
    [
        (int, "many", "key: expected a whole number, got 'many'."),
        (int, "true", "key: expected a whole number, got True."),
        (tuple[int, ...], "0,x", "key: expected a whole number, got 'x'."),
        (int | None, "x", "key: expected a whole number or none, got 'x'."),
        (Callable[[int], int] | None, "f", "key: expected a function or none, got 'f'."),
        (Mapping[str, int], "f", "key: expected a table of keys, got 'f'."),
        (Literal["a", "b"], "c", "key: got 'c', allowed: a, b."),
        (Literal[1, 3], "2", "key: got '2', allowed: 1, 3."),
    ],
)
def test_text_that_cannot_be_is_refused(hint: Any, text: str, sentence: str) -> None:
    with pytest.raises(KglError) as refused:
        from_text(hint, text, "key")
    assert (refused.value.message, refused.value.status) == (sentence, USAGE)


NUMBERS = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@given(value=st.recursive(st.none() | NUMBERS | st.text(), st.lists))
def test_a_value_written_in_python_comes_back(value: Any) -> None:
    assert literal(repr(value)) == value


@given(text=st.text())
def test_any_text_is_some_value_and_runs_nothing(text: str) -> None:
    literal(text)
    assert check_value(Any, text, "key") is text


def test_the_nearest_word_is_offered_only_where_one_is_near() -> None:
    assert nearest("Surived", ["Survived", "Sex"]) == " Did you mean 'Survived'?"
    assert nearest("LABEL", ["label"]) == " Did you mean 'label'?"
    assert nearest("zzz", ["label"]) == ""
