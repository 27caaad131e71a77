"""A YAML or JSON document as nodes that remember their lines; strict, bounded, and without YAML 1.1's surprises.

Scalars stay text until the schema says what they should be: `no` is a word and not False, the model `1.10` is not 1.1,
and the key `on` is not True. Read event by event, never recursively, so that depth costs no stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import yaml

from portico.config.problems import Path, Place, Report, Source, Span, safe

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 64
MAX_NODES: Final = 250_000

# In `{...}` and `[...]` YAML would read the braces and commas of `${VAR:-a,b}` as its own. While it parses, characters
# of the private use area stand for them, one for one, so that lines and columns stay true.
_VARIABLE = re.compile(r"""\$\$?\{[A-Za-z_][A-Za-z0-9_]*(?::-[^{}"'\\\n]*)?\}""", re.ASCII)
_SPECIAL = "{}[],:#"
_STAND_INS = "".join(chr(0xE000 + index) for index in range(len(_SPECIAL)))
_ASIDE = str.maketrans(_SPECIAL, _STAND_INS)
_BACK = str.maketrans(_STAND_INS, _SPECIAL)

_STR = "tag:yaml.org,2002:str"
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Scalar(msgspec.Struct, frozen=True):
    """Text. `plain`: it stood without quotes, so it may be read as a number or a truth.

    `variables`: it holds what the environment said, so it is never shown. `broken`: its problem is already
    reported.
    """

    text: str
    place: Place
    plain: bool = False
    variables: bool = False
    broken: bool = False


class Table(msgspec.Struct, frozen=True):
    """Keys and what they hold, in order; `keys` has the place of each key."""

    rows: dict[str, Node]
    keys: dict[str, Place]
    place: Place


class Series(msgspec.Struct, frozen=True):
    """A list."""

    items: list[Node]
    place: Place


Node = Scalar | Table | Series


class Duplicate(msgspec.Struct, frozen=True):
    """A key that stood twice in one table: the later one is in the table, `lost` is what the earlier one held."""

    path: Path
    key: str
    first: Place
    second: Place
    lost: Node


class Document(msgspec.Struct, frozen=True):
    """A document that could be parsed."""

    root: Node
    duplicates: list[Duplicate]


class _UnreadableError(Exception):
    """The document goes no further."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


class _Open(msgspec.Struct):
    """A table or list whose end has not come yet."""

    node: Table | Series
    anchor: str | None
    key: Scalar | None = None
    merges: list[Node] = msgspec.field(default_factory=list)
    weight: int = 1


def parse(data: bytes, file: str, report: Report) -> Document | None:
    """Return the document in `data`; None when it cannot be read at all, and then `report` says why.

    Keys that stand twice are given back in `duplicates` and not yet reported.
    """
    if len(data) > MAX_BYTES:
        report.error(Place(file), (), f"the file has {len(data)} bytes; a configuration has at most {MAX_BYTES}")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        place = Place(file, before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        report.error(place, (), f"the file is not UTF-8: byte 0x{data[error.start]:02x} cannot be read")
        return None
    source = Source(text.splitlines(), {})
    report.sources[file] = source
    builder = _Builder(file, source)
    try:
        if stray := next((c for c in _STAND_INS if c in text), None):
            position = text.index(stray)
            raise _UnreadableError(_at(file, text, position), f"the character {_codepoint(stray)} may not stand here")
        root = builder.build(_VARIABLE.sub(lambda match: match[0].translate(_ASIDE), text))
    except _UnreadableError as unreadable:
        # What follows the fault was not parsed, so nothing of that line may be shown.
        source.values.pop(unreadable.place.line, None)
        report.error(unreadable.place, (), unreadable.message)
        return None
    return Document(root, builder.duplicates)


def plain_node(value: object, file: str) -> Node:
    """Return plain data (from JSON or a caller's dict) as nodes. Raises ValueError for what cannot be held."""
    return _plain(value, Place(file), 0)


def _plain(value: object, place: Place, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} tables inside each other")
    if value is None or isinstance(value, bool):
        return Scalar({None: "null", True: "true", False: "false"}[value], place, plain=True)
    if isinstance(value, int | float):
        return Scalar(repr(value), place, plain=True)
    if isinstance(value, str):
        return Scalar(value, place)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"a key is text, not {type(key).__name__}")
        rows = {key: _plain(item, place, depth + 1) for key, item in value.items()}
        return Table(rows, dict.fromkeys(rows, place), place)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return Series([_plain(item, place, depth + 1) for item in value], place)
    raise ValueError(f"a configuration cannot hold {type(value).__name__}")


def leaves(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Yield every scalar, and every empty table or list, with its path."""
    if isinstance(node, Table) and node.rows:
        for key, item in node.rows.items():
            yield from leaves(item, (*path, key))
    elif isinstance(node, Series) and node.items:
        for index, item in enumerate(node.items):
            yield from leaves(item, (*path, index))
    else:
        yield path, node


class _Builder:
    """Puts nodes together from a parser's events."""

    def __init__(self, file: str, source: Source) -> None:
        self.file = file
        self.source = source
        self.duplicates: list[Duplicate] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.open: list[_Open] = []
        self.root: Node | None = None
        self.count = 0

    def build(self, text: str) -> Node:
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                self._event(event)
        except yaml.reader.ReaderError as error:
            place = _at(self.file, text, error.position) if isinstance(error.position, int) else Place(self.file)
            raise _UnreadableError(place, f"the character {_codepoint(error.character)} may not stand here") from None
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            # The parser in C has few faults without a place; their text holds nothing of the file.
            raise _UnreadableError(Place(self.file), f"this is not YAML ({type(error).__name__})") from None
        return self.root if self.root is not None else Table({}, {}, Place(self.file, 1, 1))

    def _syntax(self, error: yaml.MarkedYAMLError) -> _UnreadableError:
        mark = error.problem_mark or error.context_mark
        if mark is not None and mark.line >= len(self.source.lines) and error.context_mark is not None:
            mark = error.context_mark  # what was never closed, rather than the end of the file
        place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)
        what = error.problem or "it cannot be parsed"
        line = self.source.lines[place.line - 1] if 1 <= place.line <= len(self.source.lines) else ""
        if "\t" in line[: max(place.column, 1)]:
            what = "a tab cannot indent YAML; use spaces"
        elif "undefined alias" in what:
            what = "an alias (`*name`) refers to an anchor (`&name`) that is not there"
        elif "mapping values are not allowed" in what:
            what = "a `key: value` cannot stand here; quote a value that holds `: `, and check the indentation"
        return _UnreadableError(place, f"this is not YAML: {what}")

    def _event(self, event: yaml.Event) -> None:
        place = self._place(event)
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, place)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event, place)
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin(Table({}, {}, place), event, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin(Series([], place), event, place)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._end()
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise _UnreadableError(place, "a configuration is one document; this begins a second one")

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        assert mark is not None, "the parser marks every event"
        return Place(self.file, mark.line + 1, mark.column + 1)

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> None:
        self._spans(event)
        if event.tag not in (None, _STR, "!"):
            raise _UnreadableError(place, f"the tag {safe(event.tag)!r} is not used here; write plain values")
        value = event.value.translate(_BACK) if "$" in event.value else event.value
        node = Scalar(value, place, plain=bool(event.implicit[0]) and event.tag is None)
        if event.anchor:
            self.anchors[event.anchor] = (node, 1)
        self._put(node, 1, place)

    def _alias(self, event: yaml.AliasEvent, place: Place) -> None:
        if any(frame.anchor == event.anchor for frame in self.open):
            raise _UnreadableError(place, f"the alias *{safe(str(event.anchor))} stands inside what it refers to")
        if event.anchor not in self.anchors:
            raise _UnreadableError(place, f"the alias *{safe(str(event.anchor))} refers to an anchor that is not there")
        node, weight = self.anchors[event.anchor]
        self._put(node, weight, place)

    def _begin(self, node: Table | Series, event: yaml.CollectionStartEvent, place: Place) -> None:
        if event.tag not in (None, "!"):
            raise _UnreadableError(place, f"the tag {safe(event.tag)!r} is not used here; write plain values")
        if len(self.open) >= MAX_DEPTH:
            raise _UnreadableError(place, f"more than {MAX_DEPTH} tables or lists inside each other")
        if self.open and isinstance(self.open[-1].node, Table) and self.open[-1].key is None:
            raise _UnreadableError(place, "a key is a word, not a table or a list")
        if event.anchor:
            self.anchors.pop(event.anchor, None)
        self.open.append(_Open(node, event.anchor))

    def _end(self) -> None:
        frame = self.open.pop()
        if isinstance(frame.node, Table):
            for merged in frame.merges:
                assert isinstance(merged, Table)
                for key, item in merged.rows.items():
                    if key not in frame.node.rows:
                        frame.node.rows[key] = item
                        frame.node.keys[key] = merged.keys[key]
        if frame.anchor:
            self.anchors[frame.anchor] = (frame.node, frame.weight)
        self.count -= frame.weight - 1  # its values were counted as they came
        self._put(frame.node, frame.weight, frame.node.place)

    def _put(self, node: Node, weight: int, place: Place) -> None:
        self.count += weight if self.open else 0
        if self.count > MAX_NODES or weight > MAX_NODES:
            raise _UnreadableError(place, f"more than {MAX_NODES} values, with what aliases stand for")
        if not self.open:
            self.root = node
            return
        frame = self.open[-1]
        frame.weight += weight
        if isinstance(frame.node, Series):
            frame.node.items.append(node)
        elif frame.key is None:
            if not isinstance(node, Scalar):
                raise _UnreadableError(place, "a key is a word, not a table or a list")
            if not node.text or len(node.text) > 1024:
                raise _UnreadableError(place, "a key has between 1 and 1024 characters")
            frame.key = Scalar(node.text, place, plain=node.plain)
        else:
            key, frame.key = frame.key, None
            self._row(frame, key, node)

    def _row(self, frame: _Open, key: Scalar, node: Node) -> None:
        table = frame.node
        assert isinstance(table, Table)
        if key.text == "<<" and key.plain:
            parts = node.items if isinstance(node, Series) else [node]
            if not all(isinstance(part, Table) for part in parts):
                raise _UnreadableError(key.place, "`<<` merges a table (`*name`) or a list of tables")
            frame.merges.extend(parts)
            return
        if key.text in table.rows:
            path = tuple(self._steps())
            lost = table.rows[key.text]
            self.duplicates.append(Duplicate(path, key.text, table.keys[key.text], key.place, lost))
        table.rows[key.text] = node
        table.keys[key.text] = key.place

    def _steps(self) -> Iterator[str | int]:
        for outer in self.open[:-1]:
            if isinstance(outer.node, Series):
                yield len(outer.node.items)
            elif outer.key is not None:
                yield outer.key.text

    def _spans(self, event: yaml.ScalarEvent) -> None:
        start, end = event.start_mark, event.end_mark
        assert start is not None
        assert end is not None
        frame = self.open[-1] if self.open else None
        if frame is not None and isinstance(frame.node, Table) and frame.key is None:
            self.source.values.setdefault(start.line + 1, [])  # a key is shown; the line is known
            return
        for line in range(start.line, min(end.line, len(self.source.lines) - 1) + 1):
            first = start.column + 1 if line == start.line else 1
            last = end.column + 1 if line == end.line else len(self.source.lines[line]) + 1
            if last > first:
                self.source.values.setdefault(line + 1, []).append(Span(first, last))


def _at(file: str, text: str, position: int) -> Place:
    before = text[:position]
    return Place(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _codepoint(character: object) -> str:
    if isinstance(character, str) and character:
        return f"U+{ord(character[0]):04X}"
    return f"U+{character:04X}" if isinstance(character, int) else "found"
