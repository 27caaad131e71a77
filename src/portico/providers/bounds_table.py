"""Reads `bounds.toml`: what can come on top of the bytes of a text, by provider, model and part."""

import re
import tomllib
from functools import cache
from pathlib import Path

import msgspec


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a provider's or a model's calls add; see the table."""

    match: str = ".*"
    call: int | None = None
    tools: int | None = None
    over: int | None = None
    least: int | None = None
    limited: bool | None = None
    most: int | None = None
    cached: str | None = None
    times: int | None = None
    unbounded: str | None = None


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    default: Row
    rows: tuple[Row, ...]
    parts: dict[str, dict[str, int | str]]

    def row(self, name: str) -> Row:
        """Return what holds for `provider/model`."""
        return self.merged(
            next((row for row in self.rows if re.fullmatch(row.match, name, re.IGNORECASE)), self.default)
        )

    def merged(self, row: Row) -> Row:
        """Return a row with the default's values where it has none."""
        said = {field: value for field, value in msgspec.structs.asdict(row).items() if value is not None}
        return msgspec.structs.replace(self.default, **said)

    def part(self, name: str, of: str) -> int | str | None:
        """Return the most tokens of one part, `window` for a whole context, None where nothing is known."""
        for pattern, most in self.parts.get(name, {}).items():
            if re.fullmatch(pattern, of, re.IGNORECASE):
                return most
        return None


@cache
def table() -> Table:
    """Read the shipped table."""
    text = Path(__file__).with_name("bounds.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Table)
