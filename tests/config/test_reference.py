"""The reference page is what the schema says."""

from pathlib import Path

from portico.config.load import load
from portico.config.reference import render

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"


def test_the_reference_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), (
        "write it anew: python -m portico.config.reference > docs/reference/configuration.md"
    )


def test_the_example_on_the_page_is_a_good_configuration(example: Path, environ: dict[str, str]) -> None:
    result = load(example, environ)
    assert result.warnings == ()
    assert set(result.config.models) == {"fast", "smart", "trial", "claude-*"}
