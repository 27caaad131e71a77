"""Reads a configuration's files: includes followed, tables merged, variables put in."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Final

import msgspec

from portico.config.document import MAX_BYTES, Document, Duplicate, Node, Scalar, Series, Table, parse
from portico.config.interpolation import fill
from portico.config.problems import Path, Place, Report, safe

MAX_FILES: Final = 64


class Gathered(msgspec.Struct):
    """What the files say together, which they are, and the variables they use."""

    root: Table
    files: list[str] = msgspec.field(default_factory=list)
    variables: dict[str, None] = msgspec.field(default_factory=dict)


def read(file: str, report: Report) -> Document | None:
    """Return the document in a file; None when it cannot be read, and then `report` says why."""
    try:
        with FilePath(file).open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its name is not a path"
        report.error(Place(safe(file)), (), f"the file cannot be read: {why}")
        return None
    if len(data) > MAX_BYTES:
        report.error(Place(file), (), f"the file is over {MAX_BYTES} bytes; a configuration is smaller")
        return None
    return parse(data, file, report)


def gather(file: str, document: Document, environ: Mapping[str, str], report: Report) -> Gathered:
    """Follow `include` from `document`, merge what is found, and put the variables in."""
    gathered = Gathered(Table({}, {}, Place(file, 1, 1)), [file])
    root = _collect(file, document, environ, report, gathered, [_identity(file)], {_identity(file): Place(file)})
    gathered.root = substitute_table(root, environ, report, gathered.variables)
    return gathered


def substitute_table(root: Table, environ: Mapping[str, str], report: Report, used: dict[str, None]) -> Table:
    """Return `root` with every variable put in; those that are missing are reported, and their values broken."""
    result = _substitute(root, environ, report, (), used)
    assert isinstance(result, Table)
    return result


def drop_missing(root: Table, environ: Mapping[str, str], report: Report) -> Table:
    """Return `root` without the values whose variable is not set, each with a warning; but an address is never dropped.

    Without its address a provider would be the public one, and its key would go there.
    """
    kept = _present(root, environ, report, ())
    assert isinstance(kept, Table)
    return kept


def _present(node: Node, environ: Mapping[str, str], report: Report, path: Path) -> Node | None:
    if isinstance(node, Table):
        rows = {key: _present(item, environ, report, (*path, key)) for key, item in node.rows.items()}
        kept = {key: item for key, item in rows.items() if item is not None}
        return Table(kept, {key: node.keys[key] for key in kept}, node.place)
    if isinstance(node, Series):
        items = [_present(item, environ, report, (*path, index)) for index, item in enumerate(node.items)]
        return Series([item for item in items if item is not None], node.place)
    missing = () if path[-1:] == ("base_url",) else fill(node.text, environ).missing
    for name in missing:
        report.warn(node.place, path, f"the environment variable {safe(name)!r} is not set; this is left out")
    return None if missing else node


def refuse_duplicates(duplicates: list[Duplicate], report: Report) -> None:
    """Report every key that stands twice."""
    for twice in duplicates:
        message = f"the key {safe(twice.key)!r} stands twice; the first is on line {twice.first.line}"
        report.error(twice.second, (*twice.path, twice.key), message)


def included_files(node: Node, environ: Mapping[str, str], report: Report) -> list[tuple[str, Place]]:
    """Return the files that the value of `include` names, relative to the file that says so."""
    items = node.items if isinstance(node, Series) else [node]
    found: list[tuple[str, Place]] = []
    for index, item in enumerate(items):
        if not isinstance(item, Scalar) or not item.text:
            report.error(item.place, ("include", index), "expected the path of a file")
            continue
        filled = _substitute(item, environ, report, ("include", index), {})
        assert isinstance(filled, Scalar)
        if not filled.broken:
            found.append((str(FilePath(item.place.file).parent / FilePath(filled.text)), item.place))
    return found


def _collect(
    file: str,
    document: Document,
    environ: Mapping[str, str],
    report: Report,
    gathered: Gathered,
    inside: list[str],
    seen: dict[str, Place],
) -> Table:
    refuse_duplicates(document.duplicates, report)
    root = document.root
    if isinstance(root, Scalar) and root.plain and root.text in ("", "null", "~"):
        root = Table({}, {}, root.place)
    if not isinstance(root, Table):
        report.error(root.place, (), "a configuration is a table of keys, such as `providers:` and `models:`")
        return Table({}, {}, root.place)
    rows = {key: node for key, node in root.rows.items() if key != "include" and not key.startswith("x-")}
    merged = Table(dict(rows), {key: root.keys[key] for key in rows}, root.place)
    if "include" not in root.rows:
        return merged
    for name, place in included_files(root.rows["include"], environ, report):
        identity = _identity(name)
        if identity in inside:
            report.error(place, ("include",), f"{safe(name)!r} includes itself, by way of {safe(file)!r}", reveal=True)
        elif identity in seen:
            report.error(place, ("include",), f"{safe(name)!r} is already included at {seen[identity]}", reveal=True)
        elif len(seen) >= MAX_FILES:
            report.error(place, ("include",), f"more than {MAX_FILES} files")
        else:
            seen[identity] = place
            gathered.files.append(name)
            if (part := read(name, report)) is not None:
                other = _collect(name, part, environ, report, gathered, [*inside, identity], seen)
                _merge(merged, other, (), report)
    return merged


def _merge(into: Table, other: Table, path: Path, report: Report) -> None:
    for key, node in other.rows.items():
        mine = into.rows.get(key)
        if mine is None:
            into.rows[key] = node
            into.keys[key] = other.keys[key]
        elif isinstance(mine, Table) and isinstance(node, Table):
            copy = Table(dict(mine.rows), dict(mine.keys), mine.place)
            into.rows[key] = copy
            _merge(copy, node, (*path, key), report)
        else:
            message = f"the key {safe(key)!r} is already set at {into.keys[key]}"
            report.error(other.keys[key], (*path, key), message)


def _substitute(node: Node, environ: Mapping[str, str], report: Report, path: Path, used: dict[str, None]) -> Node:
    if isinstance(node, Table):
        rows = {key: _substitute(item, environ, report, (*path, key), used) for key, item in node.rows.items()}
        return Table(rows, node.keys, node.place)
    if isinstance(node, Series):
        items = [_substitute(item, environ, report, (*path, index), used) for index, item in enumerate(node.items)]
        return Series(items, node.place)
    try:
        filled = fill(node.text, environ)
    except ValueError as error:
        report.error(node.place, path, str(error))
        return Scalar("", node.place, broken=True)
    used.update(dict.fromkeys(filled.used))
    for name in filled.missing:
        message = (
            f"the environment variable {safe(name)!r} is not set; set it, or give a default: ${{{safe(name)}:-...}}"
        )
        report.error(node.place, path, message)
    if filled.missing:
        return Scalar("", node.place, broken=True)
    if filled.text is node.text or filled.text == node.text:
        return node
    return Scalar(filled.text, node.place, node.plain, variables=bool(filled.used) or node.variables)


def _identity(name: str) -> str:
    try:
        return str(FilePath(name).resolve())
    except (OSError, RuntimeError, ValueError):
        return name
