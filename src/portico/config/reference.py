"""Writes the reference page of the configuration from its schema: `python -m portico.config.reference`."""

import re
import sys
from importlib.resources import files
from inspect import cleandoc
from typing import Final

import msgspec
from msgspec import inspect

from portico.config import units
from portico.config.schema import Bounded, Budget, Config, Key, Limit, Model, Target

_INTRODUCTION: Final = """\
# Configuration

<!-- Written by `python -m portico.config.reference`; do not edit. -->

Portico reads one YAML or JSON file: `portico serve --config portico.yaml`. `portico check portico.yaml` says what is
understood and lists everything that is wrong, each with its line. `portico config schema` prints a JSON Schema for
editors.

```yaml
{example}```

## How a file is read

- **A key that is not on this page is an error**, and so is a key that stands twice. The message names the line and the
  nearest key that is known.
- **Variables.** `${{NAME}}` in a value is what the environment says, and must be set. `${{NAME:-default}}` stands for
  the default when it is unset or empty. `$${{` writes `${{`. Only values are looked at, never keys.
- **Secrets.** A value marked *secret* may be `file:/path`: the file's content, without the space around it. A relative
  path starts at the file that says so. No secret is ever shown: not in an error, not by `portico config show`.
- **Durations** are seconds, or a number with a unit: `500ms`, `30s`, `2m`, `1h`, `1d`, `1h30m`.
- **Times** are a day or a day and a time: `2026-12-31`, `2026-12-31T18:00:00+01:00`; in UTC where no zone is named.
- **Periods** are `minute`, `hour`, `day`, `week`, `month` or `forever`, or a duration of whole seconds.
- **Shares** are numbers from 0 to 1, or of a hundred: `0.05`, `5%`.
- **Sizes** are bytes, or a number with a unit: `64KB`, `64MB`, `1GiB`. A kilobyte is 1024 bytes.
- **`include: [more.yaml]`** at the top level merges other files into this one; paths are relative to the file that says
  so. Tables are merged; a value that two files set is an error that names both places.
- **`x-…`** keys at the top level are not read: a place for YAML anchors (`&name`, `*name`, `<<: *name`).
- **Words are words.** `no`, `on` and `yes` are text here, and an unquoted `1.10` stays `1.10` where text is wanted.
- A file in litellm's format is recognised and converted; what is not carried over is listed.
"""

_SHORT: Final[dict[type, str]] = {
    Model: "`name: provider/model` and `name: [provider/model, …]` are short for a table with only `targets`.",
    Target: "`provider/model` is short for a table with only `model`.",
    Key: "`name: the-key` is short for a table with only `key`.",
}


def render() -> str:
    """Return the page."""
    example = files("portico.config").joinpath("example.yaml").read_text(encoding="utf-8")
    config = inspect.type_info(Config)
    assert isinstance(config, inspect.StructType)
    sections = [_INTRODUCTION.format(example=example), "## The tables\n"]
    rows = [_row(field) for field in config.fields]
    sections.append(_grid(rows))
    written: dict[type, str] = {}
    for field in config.fields:
        sections += _sections(field.type, field.name, set(), written)
    return "\n".join(sections)


def _sections(kind: inspect.Type, path: str, inside: set[type], written: dict[type, str]) -> list[str]:
    """Return the section of a table, and those of the tables in it; `written` says where limits were described."""
    table, path = _table(kind, path)
    if table is None or table.cls in inside:
        return []
    if table.cls in (Limit, Budget, Bounded) and (first := written.setdefault(table.cls, path)) != path:
        return [f"## `{path}`\n", f"As [`{first}`](#{re.sub('[^a-z_ -]', '', first)}).\n"]
    about = [f"## `{path}`\n", cleandoc(table.cls.__doc__ or "") + "\n"]
    if table.cls in _SHORT:
        about.append(_SHORT[table.cls] + "\n")
    about.append(_grid([_row(field) for field in table.fields]))
    if table.cls.__name__ == "Timeouts" and path != "timeouts":
        return [f"## `{path}`\n", "As [`timeouts`](#timeouts); what is left out here is taken from there.\n"]
    inner = [
        _sections(field.type, f"{path}.{field.encode_name}", inside | {table.cls}, written) for field in table.fields
    ]
    return [*about, *(line for section in inner for line in section)]


def _table(kind: inspect.Type, path: str) -> tuple[inspect.StructType | None, str]:
    while True:
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            found = [member for member in kind.types if isinstance(member, inspect.StructType)]
            return (found[0] if found else None), path
        elif isinstance(kind, inspect.DictType):
            kind, path = kind.value_type, f"{path}.<name>"
        elif isinstance(kind, inspect.VarTupleType):
            kind, path = kind.item_type, f"{path}[]"
        else:
            return (kind if isinstance(kind, inspect.StructType) else None), path


def _grid(rows: list[tuple[str, str, str, str]]) -> str:
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _row(field: inspect.Field) -> tuple[str, str, str, str]:
    assert isinstance(field.type, inspect.Metadata), f"{field.name} has no description"
    description = (field.type.extra_json_schema or {})["description"]
    return f"`{field.encode_name}`", _type(field.type), _default(field), description


def _type(kind: inspect.Type) -> str:
    mark = ""
    while isinstance(kind, inspect.Metadata):
        mark = mark or str((kind.extra_json_schema or {}).get("x-portico", ""))
        kind = kind.type
    if mark:
        return mark
    match kind:
        case inspect.UnionType():
            names = dict.fromkeys(_type(m) for m in kind.types if not isinstance(m, inspect.NoneType))
            return " or ".join(names)
        case inspect.StructType():
            return "table"
        case inspect.DictType():
            return f"table of {_plural(_type(kind.value_type))}"
        case inspect.VarTupleType():
            return f"list of {_plural(_type(kind.item_type))}"
        case inspect.LiteralType():
            return " or ".join(f"`{value}`" for value in kind.values)
        case inspect.IntType():
            return "whole number" + _bounds(kind)
        case inspect.FloatType():
            return "number" + _bounds(kind)
        case inspect.BoolType():
            return "`true` or `false`"
    assert isinstance(kind, inspect.StrType), f"no word for {kind}"
    return "text"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f", {kind.ge:g} to {kind.le:g}"
    return f", from {kind.ge:g}" if kind.ge is not None else ""


def _plural(word: str) -> str:
    if word.startswith(("`", "whole number", "number")) or word == "text":
        return word
    return " or ".join(
        f"{part}s" if part != "text" and not part.startswith("`") else part for part in word.split(" or ")
    )


def _default(field: inspect.Field) -> str:
    if field.required:
        return "**required**"
    value = field.default if field.default is not msgspec.NODEFAULT else None
    mark = _mark(field.type)
    if value is None or value in ((), {}) or isinstance(value, msgspec.Struct):
        return "—"
    if mark == "duration":
        return f"`{units.render_duration(float(value))}`"
    if mark == "share":
        return f"`{float(value) * 100:g}%`"
    if mark == "size":
        return f"`{units.render_size(int(value))}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(str(item) for item in value) + "]`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _mark(kind: inspect.Type) -> str:
    return str((kind.extra_json_schema or {}).get("x-portico", "")) if isinstance(kind, inspect.Metadata) else ""


if __name__ == "__main__":
    sys.stdout.write(render())
