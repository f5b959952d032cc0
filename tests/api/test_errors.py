"""The one line that tells of an error, whatever the error is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genbench.api.errors import REASON_LENGTH, GenbenchError, one_line


@given(st.text(st.characters()), st.sampled_from([ValueError, GenbenchError, SystemExit]))
def test_a_reason_is_one_line_of_printable_text(text: str, kind: type[BaseException]) -> None:
    line = one_line(kind(text))
    assert line.isprintable()
    assert len(line) <= REASON_LENGTH
    line.encode("utf-8")
    assert line.startswith("" if kind is GenbenchError else f"{kind.__name__}:")


class Text(str):
    def __iter__(self):  # type: ignore[no-untyped-def]
        raise ValueError("not even this")


class Nameless(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise ValueError("no name")


class Odd(Exception, metaclass=Nameless):
    def __str__(self) -> str:
        return Text("odd")

    @property
    def __class__(self):  # type: ignore[no-untyped-def]
        raise ValueError("no class")


class Silent(BaseException):
    def __str__(self) -> str:
        raise SystemExit


def test_of_any_error() -> None:
    errors = {"Odd": Odd(), "Silent": Silent(), "ValueError": ValueError("x" * 10**6)}
    for name, error in errors.items():
        assert one_line(error).split(":")[0] == name
