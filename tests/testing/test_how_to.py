"""The how-to says what there is."""

from pathlib import Path
from typing import get_args

from portico.testing.controls import Controls, Fault

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "test-with-the-mock.md").read_text()


def test_every_word_and_every_fault_is_in_the_how_to():
    tables = "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    missing = [name for name in (*Controls.__struct_fields__, *get_args(Fault)) if f"`{name}`" not in tables]
    assert missing == []
