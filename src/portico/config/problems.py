"""What is wrong with a configuration: every problem with its place, none with a secret in it."""

import difflib
import re
from collections.abc import Collection, Iterable, Sequence

import msgspec

from portico.errors import ConfigError

Path = tuple[str | int, ...]
"""The way to a value through tables and lists: `("models", "smart", "targets", 0)`."""

_REFERENCE = re.compile(r"""["']?\$\{[A-Za-z_][A-Za-z0-9_]*\}["']?\Z""")
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
# How the keys of well-known providers begin. Names of models and providers never look like this.
_KEYLIKE = re.compile(
    r"(sk|pk|rk|gsk|xai|pplx|nvapi|hf|r8|fw|tgp|ghp|AKIA|ASIA|AIza|eyJ|sk-ant|Bearer )[-_A-Za-z0-9. ]{12,}", re.ASCII
)


MOST_PROBLEMS = 500
"""Problems in one report; more are only counted."""


class Place(msgspec.Struct, frozen=True, order=True):
    """Where something stands: a file, and a line and column counted from one (0: no line, as in a plain dict)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, or doubtful, or left out; `excerpt` is the line and a caret, or empty."""

    place: Place
    path: str
    message: str
    excerpt: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.message}" if self.path else f"{self.place}: {self.message}"


class RejectedConfigError(ConfigError):
    """A configuration with problems; the message has all of them, one a line."""

    def __init__(self, problems: Sequence[Problem], files: Iterable[str] = ()) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.files = tuple(files)


class Span(msgspec.Struct, frozen=True):
    """Columns (from one, end not included) that a value takes on one line."""

    start: int
    end: int


class Source(msgspec.Struct, frozen=True):
    """The lines of a file, and where values stand in them, so that an excerpt can hide them."""

    lines: list[str]
    values: dict[int, list[Span]]

    def excerpt(self, place: Place, *, reveal: bool) -> str:
        """Return the line and a caret below it; values are hidden, but for a `reveal`ed one."""
        if not 1 <= place.line <= len(self.lines):
            return ""
        raw = self.lines[place.line - 1]
        shown, column = _masked(raw, self.values.get(place.line), place.column, reveal=reveal)
        if len(shown) > 160:
            start = max(0, column - 80)
            shown, column = shown[start : start + 160], column - start
        number = str(place.line)
        return f"{number} | {shown}\n{' ' * len(number)} | {' ' * (column - 1)}^"


class Report:
    """Problems as they are found, and the sources to quote from."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []
        self._more = 0
        self._hints = 0

    def error(self, place: Place, path: Path, message: str, *, reveal: bool = False) -> None:
        """Note something that must be put right; `reveal` lets the excerpt show the value at `place`."""
        if len(self.errors) < MOST_PROBLEMS:
            self.errors.append(self.problem(place, path, message, reveal=reveal))
        else:
            self._more += 1

    def warn(self, place: Place, path: Path, message: str, *, reveal: bool = False) -> None:
        """Note something that may be meant, but probably is not."""
        if len(self.warnings) < MOST_PROBLEMS:
            self.warnings.append(self.problem(place, path, message, reveal=reveal))

    def nearest(self, word: str, known: Collection[str]) -> str:
        """Return what `nearest` does, for the first hundred words that are asked for: looking is slow."""
        self._hints += 1
        return nearest(word, known) if self._hints <= 100 else ""

    def settle(self, files: Iterable[str] = ()) -> None:
        """Raise `RejectedConfigError` with every error noted so far, in the order of the files' lines."""
        if self.errors:
            order = {name: index for index, name in enumerate(self.sources)}
            found = sorted(self.errors, key=lambda p: (order.get(p.place.file, -1), p.place.line, p.place.column))
            if self._more:
                found.append(Problem(place=found[-1].place, path="", message=f"and {self._more} more problems"))
            raise RejectedConfigError(list(dict.fromkeys(found)), files)

    def problem(self, place: Place, path: Path, message: str, *, reveal: bool = False) -> Problem:
        """Return a problem with its excerpt, without noting it."""
        source = self.sources.get(place.file)
        excerpt = source.excerpt(place, reveal=reveal) if source else ""
        return Problem(place=place, path=spelled(path), message=message, excerpt=excerpt)


def spelled(path: Path) -> str:
    """Write a path as people do: `models.smart.targets[0]`, `models["openai/*"]`."""
    out = ""
    for step in path:
        if isinstance(step, int):
            out += f"[{step}]"
        elif _BARE.match(step):
            out += ("." if out else "") + safe(step)
        else:
            out += f'["{safe(step)}"]'
    return out


def safe(text: str) -> str:
    """Return `text` fit for a message: one short printable line, and hidden where it looks like a key."""
    if _KEYLIKE.search(text):
        return text[:3] + "***"
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return clean if len(clean) <= 80 else clean[:77] + "..."


def nearest(word: str, known: Collection[str]) -> str:
    """Return `; did you mean 'x'?` for the known word that is nearest to `word`, or nothing."""
    if len(word) > 80:
        return ""
    lowered = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean {lowered[close[0]]!r}?" if close else ""


def _masked(raw: str, spans: list[Span] | None, column: int, *, reveal: bool) -> tuple[str, int]:
    # Without spans the line could not be parsed: nothing behind the first key is safe to show.
    if spans is None:
        spans = [Span(match.end() + 1, len(raw) + 1)] if (match := re.search(r"[:\-\[{,]\s*", raw)) else []
    shown, done, caret = "", 1, column
    for span in sorted(spans, key=lambda s: s.start):
        text = raw[span.start - 1 : span.end - 1]
        visible = (reveal and span.start == column and not _KEYLIKE.search(text)) or _REFERENCE.match(text)
        piece = text if visible or not text.strip() else "***"
        shown += _printable(raw[done - 1 : span.start - 1])
        if span.start <= column < span.end and not visible:
            caret = len(shown) + 1
        elif span.end <= column:
            caret += len(piece) - len(text)
        shown += _printable(piece)
        done = span.end
    tail = raw[done - 1 :]
    # Comments are the commonest place of a key that was tried out.
    shown += _printable(_KEYLIKE.sub("***", tail))
    return shown, max(1, caret)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
