"""How annotations call an array; shape and type stand in the docstring."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
