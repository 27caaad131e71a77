"""Fits a document to the schema: every problem in one go, each with its line; durations, sizes and short forms read."""

import math
import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Any, Final, get_args

import msgspec
from msgspec import inspect

from portico.config import units
from portico.config.document import Node, Scalar, Series, Table
from portico.config.problems import Path, Place, Report, safe
from portico.config.schema import Config, Key, Model, Target, holds_secret, secret_name
from portico.rules import Every

BROKEN: Final = object()
"""Stands for a value whose problem was reported."""

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})\Z", re.ASCII)
_FLOAT = re.compile(r"[-+]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][-+]?[0-9]{1,4})?\Z", re.ASCII)
_OCTAL = re.compile(r"[-+]?0[0-9]+\Z", re.ASCII)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTHS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_OLD_TRUTHS = frozenset({"yes", "no", "on", "off", "y", "n"})
PERIODS: Final[tuple[str, ...]] = get_args(Every)
_MAX_SECRET = 64 * 1024
_ONE_OF = frozenset({("limits",), ("budgets",)})
"""Tables in whose `for` one name may stand for a list of one."""
_DOCUMENTS = ("{", "-----")  # a service account, a PEM key: secrets of several lines


class Fitted(msgspec.Struct, frozen=True):
    """A document in the schema's terms: plain data, where each path stands, and the secret files that were read.

    What did not fit is left out of the data (None in a list), so that what fits can still be checked for its meaning.
    """

    data: dict[str, Any]
    lines: dict[Path, Place]
    secret_files: tuple[str, ...]


def fit(root: Node, report: Report, like: type[msgspec.Struct] = Config) -> Fitted:
    """Return the data of `root` as the schema wants it; `report` has what does not fit."""
    fitter = _Fitter(report)
    data = fitter.value(root, inspect.type_info(like), (), secret=False)
    return Fitted(data if isinstance(data, dict) else {}, fitter.lines, tuple(dict.fromkeys(fitter.secret_files)))


def empty(node: Node) -> bool:
    """Whether the document says nothing here: `key:` and no value, or null."""
    return isinstance(node, Scalar) and node.plain and not node.variables and node.text in _NULLS


# The short forms: what stands for a table of one key.


def _target(node: Node) -> Node:
    return _one(node, "model") if isinstance(node, Scalar) else node


def _model(node: Node) -> Node:
    if isinstance(node, Scalar) and not empty(node):
        return _one(Series([node], node.place), "targets")
    return _one(node, "targets") if isinstance(node, Series) else node


def _key(node: Node) -> Node:
    return _one(node, "key") if isinstance(node, Scalar) and not empty(node) else node


def _one(node: Node, key: str) -> Table:
    return Table({key: node}, {key: node.place}, node.place)


SHORT_FORMS: Final[dict[type, Callable[[Node], Node]]] = {Target: _target, Model: _model, Key: _key}


class _Fitter:
    def __init__(self, report: Report) -> None:
        self.report = report
        self.lines: dict[Path, Place] = {}
        self.secret_files: list[str] = []

    def value(self, node: Node, kind: inspect.Type, path: Path, *, secret: bool) -> Any:
        """Return plain data, or BROKEN after reporting."""
        if isinstance(node, Scalar) and node.broken:
            return BROKEN
        self.lines.setdefault(path, node.place)
        secret = secret or holds_secret(kind)
        marks = ""
        while isinstance(kind, inspect.Metadata):
            marks = marks or str((kind.extra_json_schema or {}).get("x-portico", ""))
            kind = kind.type
        if isinstance(kind, inspect.StructType):
            return self._struct(node, kind, path)
        if isinstance(kind, inspect.DictType):
            return self._dict(node, kind, path, secret=secret)
        if isinstance(kind, inspect.VarTupleType):
            return self._series(node, kind, path, secret=secret)
        if isinstance(kind, inspect.UnionType):
            return self._union(node, kind, path, secret=secret)
        if isinstance(kind, inspect.AnyType):
            return self._any(node, path)
        return self._scalar(node, kind, path, marks, secret=secret)

    # Tables and lists

    def _struct(self, node: Node, kind: inspect.StructType, path: Path) -> Any:
        if (short := SHORT_FORMS.get(kind.cls)) is not None:
            node = short(node)
        required = any(field.required for field in kind.fields)
        if empty(node) and not required:
            return {}
        if not isinstance(node, Table):
            return self._wrong(
                node, path, f"expected a table of {_these(f.encode_name for f in kind.fields)}", secret=True
            )
        fields = {field.encode_name: field for field in kind.fields}
        data: dict[str, Any] = {}
        for key, item in node.rows.items():
            self.lines[*path, key] = node.keys[key]
            if key not in fields:
                self.report.error(node.keys[key], (*path, key), self._unknown(key, fields))
                continue
            fitted = self.value(item, fields[key].type, (*path, key), secret=False)
            if fitted is not BROKEN:
                data[key] = fitted
        for name, field in fields.items():
            if field.required and name not in node.rows:
                self.report.error(node.place, path, f"the key {name!r} is missing")
        return data

    def _dict(self, node: Node, kind: inspect.DictType, path: Path, *, secret: bool) -> Any:
        if empty(node):
            return {}
        if not isinstance(node, Table):
            return self._wrong(node, path, "expected a table of names", secret=True)
        data: dict[str, Any] = {}
        for key, item in node.rows.items():
            self.lines[*path, key] = node.keys[key]
            if isinstance(kind.key_type, inspect.LiteralType) and key not in kind.key_type.values:
                self.report.error(node.keys[key], (*path, key), self._unknown(key, kind.key_type.values))
                continue
            if "${" in key:
                self.report.error(node.keys[key], path, "a variable cannot be part of a key, only of a value")
            hide = secret or (path[-1:] == ("options",) and secret_name(key))
            fitted = self.value(item, kind.value_type, (*path, key), secret=hide)
            data[key] = {} if fitted is BROKEN else fitted  # the name is known, whatever is wrong with what it holds
        return data

    def _series(self, node: Node, kind: inspect.VarTupleType, path: Path, *, secret: bool) -> Any:
        if empty(node):
            node = Series([], node.place)
        if isinstance(node, Scalar) and path[:1] in _ONE_OF and "for" in path:
            node = Series([node], node.place)
        if not isinstance(node, Series):
            hint = f"expected a list: write `{path[-1]}: [...]`" if path else "expected a list"
            return self._wrong(node, path, hint, secret=secret)
        items = [
            self.value(item, kind.item_type, (*path, index), secret=secret) for index, item in enumerate(node.items)
        ]
        if len(items) < (kind.min_length or 0):
            return self._wrong(node, path, "at least one is needed")
        return [None if item is BROKEN else item for item in items]

    def _any(self, node: Node, path: Path) -> Any:
        """Where whatever JSON has may stand."""
        if isinstance(node, Table):
            return {key: self._any(item, (*path, key)) for key, item in node.rows.items()}
        if isinstance(node, Series):
            return [self._any(item, (*path, index)) for index, item in enumerate(node.items)]
        return None if empty(node) else self._free(node, path, secret=False)

    # One value

    def _union(self, node: Node, kind: inspect.UnionType, path: Path, *, secret: bool) -> Any:
        members = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
        if empty(node) and len(members) < len(kind.types):
            return None
        if len(members) == 1:
            return self.value(node, members[0], path, secret=secret)
        if any(isinstance(member, inspect.StrType) for member in members):
            if not isinstance(node, Scalar):
                return self._wrong(node, path, "expected text, a number, or `true` or `false`", secret=secret)
            return self._free(node, path, secret=secret)
        words = [v for member in members if isinstance(member, inspect.LiteralType) for v in member.values]
        if isinstance(node, Scalar) and node.text in words:
            return node.text
        number = next((member for member in members if isinstance(member, inspect.IntType)), None)
        assert number is not None, "the schema has a union that this cannot read"
        also = f", or {_these(str(word) for word in words)}"
        return self._int(node, number, path, "", secret=secret, also=also)

    def _free(self, node: Scalar, path: Path, *, secret: bool) -> Any:
        """Where text, numbers and truths may stand: what would lose something as a number stays text."""
        if not node.plain or node.variables or secret:
            return self._text(node, path, None, secret=secret)
        if empty(node):
            return self._wrong(node, path, "there is no value")
        if node.text in _TRUTHS:
            return _TRUTHS[node.text]
        if _INT.match(node.text) and str(int(node.text)) == node.text and abs(int(node.text)) < 1 << 63:
            return int(node.text)
        if _FLOAT.match(node.text) and repr(float(node.text)) == node.text:
            return float(node.text)
        return self._text(node, path, None, secret=secret)

    def _scalar(self, node: Node, kind: inspect.Type, path: Path, marks: str, *, secret: bool) -> Any:
        if isinstance(kind, inspect.IntType):
            return self._int(node, kind, path, marks, secret=secret)
        if isinstance(kind, inspect.FloatType):
            return self._float(node, kind, path, marks)
        if isinstance(kind, inspect.LiteralType):
            return self._word(node, kind, path)
        if isinstance(kind, inspect.BoolType):
            return self._truth(node, path)
        assert isinstance(kind, inspect.StrType), "the schema has a type that this cannot read"
        if marks == "period":
            return self._period(node, path)
        return self._text(node, path, kind.min_length, secret=secret)

    def _text(self, node: Node, path: Path, shortest: int | None, *, secret: bool) -> Any:
        if not isinstance(node, Scalar):
            return self._wrong(node, path, "expected text", secret=secret)
        if empty(node):
            return self._wrong(node, path, "there is no value", secret=secret)
        text = node.text
        if secret:
            if text.startswith("file:"):
                return self._secret_file(node, path)
            text = text.strip()
            if any(not c.isprintable() for c in text) and not text.startswith(_DOCUMENTS):
                return self._wrong(node, path, "a secret is one line of printable characters", secret=True)
        if len(text) < (shortest or 0):
            return self._wrong(node, path, "it is empty", secret=secret)
        return text

    def _secret_file(self, node: Scalar, path: Path) -> Any:
        name = node.text.removeprefix("file:")
        where = FilePath(node.place.file).parent / FilePath(name).expanduser()
        self.secret_files.append(str(where))
        try:
            with where.open("rb") as opened:
                data = opened.read(_MAX_SECRET + 1)
            text = data.decode().strip()
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            return self._wrong(node, path, f"the secret's file {safe(str(where))!r} cannot be read: {why}")
        if not text:
            return self._wrong(node, path, f"the secret's file {safe(str(where))!r} is empty")
        if len(data) > _MAX_SECRET or (any(not c.isprintable() for c in text) and not text.startswith(_DOCUMENTS)):
            return self._wrong(node, path, f"the secret's file {safe(str(where))!r} holds more than one line of text")
        return text

    def _int(self, node: Node, kind: inspect.IntType, path: Path, marks: str, *, secret: bool, also: str = "") -> Any:
        what = "a size such as `64MB`" if marks == "size" else "a whole number"
        if not isinstance(node, Scalar) or empty(node):
            return self._wrong(node, path, f"expected {what}{also}", secret=secret)
        if marks == "size":
            try:
                number = units.size(node.text)
            except ValueError as error:
                return self._wrong(node, path, f"expected {what}, not {_quoted(node)}; {error}")
        elif _OCTAL.match(node.text):
            return self._wrong(node, path, f"{_quoted(node)} may be read as octal; write it without the leading zero")
        elif not _INT.match(node.text) or not (node.plain or node.variables):
            hint = " (without quotes)" if _INT.match(node.text) else ""
            return self._wrong(node, path, f"expected {what}{also}, not {_quoted(node)}{hint}")
        else:
            number = int(node.text)
        return self._bounded(number, kind, node, path)

    def _float(self, node: Node, kind: inspect.FloatType, path: Path, marks: str) -> Any:
        if marks == "time":
            return self._time(node, path)
        what = {"duration": "a duration such as `30s`", "share": "a share such as `5%`"}.get(marks, "a number")
        if not isinstance(node, Scalar) or empty(node):
            return self._wrong(node, path, f"expected {what}")
        if marks == "duration":
            try:
                return units.duration(node.text)
            except ValueError as error:
                return self._wrong(node, path, f"expected {what}, not {_quoted(node)}; {error}")
        if marks == "share" and node.text.endswith("%") and _FLOAT.match(node.text[:-1]):
            return self._bounded(float(node.text[:-1]) / 100, kind, node, path)
        if not _FLOAT.match(node.text) or not (node.plain or node.variables):
            hint = " (without quotes)" if _FLOAT.match(node.text) else ""
            return self._wrong(node, path, f"expected {what}, not {_quoted(node)}{hint}")
        if not math.isfinite(number := float(node.text)):
            return self._wrong(node, path, f"{_quoted(node)} is too large")
        return self._bounded(number, kind, node, path)

    def _time(self, node: Node, path: Path) -> Any:
        what = "a time such as `2026-12-31` or `2026-12-31T18:00:00Z`"
        if not isinstance(node, Scalar) or empty(node):
            return self._wrong(node, path, f"expected {what}")
        try:
            when = datetime.fromisoformat(node.text)
            return self._after_epoch((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp(), node, path)
        except (ValueError, OverflowError):
            return self._wrong(node, path, f"expected {what}, not {_quoted(node)}")

    def _after_epoch(self, seconds: float, node: Scalar, path: Path) -> Any:
        return seconds if seconds >= 0 else self._wrong(node, path, f"{_quoted(node)} is before 1970")

    def _period(self, node: Node, path: Path) -> Any:
        if not isinstance(node, Scalar) or empty(node):
            return self._wrong(node, path, f"expected {_these(PERIODS)}, or a duration such as `5h`")
        if node.text in PERIODS:
            return node.text
        try:
            seconds = units.duration(node.text)
        except ValueError:
            hint = "" if node.variables else self.report.nearest(node.text, PERIODS)
            return self._wrong(node, path, f"expected {_these(PERIODS)}, or a duration, not {_quoted(node)}{hint}")
        if seconds < 1 or seconds != int(seconds):
            return self._wrong(node, path, f"{_quoted(node)} is not a whole number of seconds")
        return units.render_duration(seconds)

    def _bounded(self, number: float, kind: inspect.IntType | inspect.FloatType, node: Scalar, path: Path) -> Any:
        if kind.ge is not None and number < kind.ge:
            return self._wrong(node, path, f"{_quoted(node)} is too small; the least is {kind.ge}")
        most = kind.le if kind.le is not None else (1 << 63) - 1
        if number > most:
            return self._wrong(node, path, f"{_quoted(node)} is too large; the most is {most}")
        return number

    def _word(self, node: Node, kind: inspect.LiteralType, path: Path) -> Any:
        words = [str(value) for value in kind.values]
        if not isinstance(node, Scalar):
            return self._wrong(node, path, f"expected {_these(words)}")
        if node.text not in words:
            hint = "" if node.variables else self.report.nearest(node.text, words)
            return self._wrong(node, path, f"expected {_these(words)}, not {_quoted(node)}{hint}")
        return node.text

    def _truth(self, node: Node, path: Path) -> Any:
        if isinstance(node, Scalar) and (node.plain or node.variables):
            if node.text in _TRUTHS:
                return _TRUTHS[node.text]
            if node.text.lower() in _OLD_TRUTHS:
                return self._wrong(node, path, f"{_quoted(node)} is a word here; write `true` or `false`")
        return self._wrong(node, path, "expected `true` or `false`")

    def _unknown(self, key: str, fields: Collection[Any]) -> str:
        hint = self.report.nearest(key, fields)
        return f"unknown key {safe(key)!r}" + (hint or f"; the keys here are {_these(fields)}")

    def _wrong(self, node: Node, path: Path, message: str, *, secret: bool = False) -> object:
        reveal = isinstance(node, Scalar) and not node.variables and not secret
        self.report.error(node.place, path, message, reveal=reveal)
        return BROKEN


def _quoted(node: Scalar) -> str:
    return "what its variable holds" if node.variables else repr(safe(node.text))


def _these(words: Iterable[str]) -> str:
    names = [f"`{word}`" for word in words]
    if len(names) > 8:
        names = [*names[:7], "…"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
