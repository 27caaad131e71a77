"""Durations and sizes."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.config import units

DURATIONS = [
    ("0", 0.0),
    ("30", 30.0),
    ("1.5", 1.5),
    ("500ms", 0.5),
    ("30s", 30.0),
    ("2m", 120.0),
    ("1h", 3600.0),
    ("1d", 86400.0),
    ("1h30m", 5400.0),
    ("1.5h", 5400.0),
    ("1d2h3m4s5ms", 93784.005),
]
NOT_DURATIONS = [
    "",
    " ",
    "s",
    "-1s",
    "+1s",
    "1 s",
    "1S",
    "1w",
    "1e3",
    "1:30",
    "30s1h",
    "1s1s",
    "nan",
    "inf",
    "٣s",
    "40000d",
]

SIZES = [
    ("0", 0),
    ("1000", 1000),
    ("64KB", 65536),
    ("64kb", 65536),
    ("64K", 65536),
    ("64KiB", 65536),
    ("64 MB", 67108864),
    ("1GiB", 1 << 30),
    ("0.5MB", 1 << 19),
    ("2T", 2 << 40),
    ("12B", 12),
]
NOT_SIZES = ["", "MB", "-1", "1.5B", "0.3KB", "1KBB", "1XB", "1e6", "1_000", "9999999TB", "1 000"]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_a_duration_is_seconds_or_a_number_with_units(text: str, seconds: float) -> None:
    assert units.duration(text) == seconds


@pytest.mark.parametrize("text", NOT_DURATIONS)
def test_anything_else_is_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|unit"):
        units.duration(text)


@pytest.mark.parametrize(("text", "count"), SIZES)
def test_a_size_is_bytes_or_a_number_with_a_unit_of_1024(text: str, count: int) -> None:
    assert units.size(text) == count


@pytest.mark.parametrize("text", NOT_SIZES)
def test_anything_else_is_not_a_size(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        units.size(text)


@given(st.integers(0, units.LARGEST_SIZE))
def test_a_rendered_size_reads_as_itself(count: int) -> None:
    assert units.size(units.render_size(count)) == count


@given(st.integers(0, 10**12))
def test_a_rendered_duration_reads_as_itself(thousandths: int) -> None:
    seconds = min(thousandths / 1000, units.LONGEST_DURATION)
    assert math.isclose(units.duration(units.render_duration(seconds)), seconds, rel_tol=1e-12, abs_tol=1e-9)


@given(st.text(alphabet="0123456789.smhdkKMGTBi -+e_", max_size=30))
def test_no_text_breaks_the_readers(text: str) -> None:
    for read in (units.duration, units.size):
        with contextlib.suppress(ValueError):
            assert 0 <= read(text) < math.inf
