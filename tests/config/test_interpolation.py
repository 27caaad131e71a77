"""Variables in values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.config.interpolation import escape, fill

ENVIRON = {"A": "one", "B_2": "two", "EMPTY": "", "TRAP": "${A}"}

CASES = [
    ("plain", "plain"),
    ("$A $ {A} $", "$A $ {A} $"),
    ("${A}", "one"),
    ("x${A}y${B_2}z", "xoneytwoz"),
    ("${A:-other}", "one"),
    ("${C:-other}", "other"),
    ("${EMPTY:-other}", "other"),
    ("${EMPTY}", ""),
    ("${C:-}", ""),
    ("${C:-a:-b,c d}", "a:-b,c d"),
    ("$${A}", "${A}"),
    ("$$${A}", "$${A}"),
    ("$${", "${"),
    ("${TRAP}", "${A}"),
]
BAD = ["${", "${}", "${1A}", "${A-B}", "${A", "${A:=b}", "a ${ A } b", "${A:-${B}}", "${Ä}"]


@pytest.mark.parametrize(("text", "filled"), CASES)
def test_variables_are_put_in_once(text: str, filled: str) -> None:
    assert fill(text, ENVIRON).text == filled


@pytest.mark.parametrize("text", BAD)
def test_a_brace_that_begins_no_variable_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NAME"):
        fill(text, ENVIRON)


def test_every_missing_variable_is_named() -> None:
    assert fill("${X}${A}${Y}${X}", ENVIRON).missing == ("X", "Y")
    assert fill("${X}${A}", ENVIRON).used == ("X", "A")


@given(st.text(alphabet="${}A:-x", max_size=40))
def test_escaped_text_is_filled_to_itself(text: str) -> None:
    assert fill(escape(text), ENVIRON).text == text


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    try:
        assert fill(text, ENVIRON).missing is not None
    except ValueError:
        assert "${" in text
