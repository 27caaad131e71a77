"""The page of what cannot cross says what the table says."""

from pathlib import Path

from portico.dialects.crossing import FEATURES
from portico.dialects.crossing_page import render

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "crossing.md"


def test_the_page_is_as_the_table_is() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), (
        "write it anew: python -m portico.dialects.crossing_page > docs/reference/crossing.md"
    )


def test_every_feature_has_a_row() -> None:
    page = render()
    assert all(f"| `{name}` |" in page for name in FEATURES)


def test_no_feature_is_both_dropped_and_refused() -> None:
    assert [name for name, row in FEATURES.items() if set(row.drop) & set(row.refuse)] == []
