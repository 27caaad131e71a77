"""Keeps account of every leaf of a foreign configuration: carried over to somewhere, or left out for a reason."""

from collections.abc import Collection

import msgspec

from portico.config.document import Node, Scalar, Series, Table, leaves
from portico.config.problems import Path, Place, Problem, Report


class Ledger:
    """What became of each leaf. What nobody accounted for is left out too, and says so: nothing is lost in silence."""

    def __init__(self, root: Table, report: Report) -> None:
        self.root = root
        self.report = report
        self.carried: dict[Path, Path] = {}
        self._left: list[tuple[Place, Path, str]] = []
        self._covered: set[Path] = set()

    def carry(self, path: Path, to: Path) -> None:
        """Note that what stands at `path` (and all below it) now stands at `to`."""
        self.carried[path] = to

    def leave(self, path: Path, reason: str) -> None:
        """Note that what stands at `path`, and all below it that is not carried, is left out."""
        self._covered.add(path)
        self._left.append((self._place(path), path, reason))

    def note(self, path: Path, message: str) -> None:
        """Note something about a value that is carried, which is worth knowing."""
        self._left.append((self._place(path), path, message))

    def lost(self, node: Node, path: Path, place: Place, reason: str) -> None:
        """Note that a node which is not part of the tree was there and has no effect; every leaf of it is listed."""
        for below, leaf in leaves(node):
            self._left.append((leaf.place if below else place, (*path, *below), reason))

    def nearest(self, word: str, known: Collection[str]) -> str:
        """Return `; did you mean 'x'?`, or nothing, as `Report.nearest` does."""
        return self.report.nearest(word, known)

    def close(self) -> list[Problem]:
        """Return what is left out, in the order of the file, after adding every leaf that nobody accounted for."""
        for path, leaf in leaves(self.root):
            if not self._accounted(path) and not _says_nothing(leaf):
                self._left.append((leaf.place, path, "it is not known here"))
        order = {name: index for index, name in enumerate(self.report.sources)}
        found = sorted(dict.fromkeys(self._left), key=lambda e: (order.get(e[0].file, -1), e[0].line, e[0].column))
        return [self.report.problem(place, path, message) for place, path, message in found]

    def _accounted(self, path: Path) -> bool:
        return any(path[:n] in self.carried or path[:n] in self._covered for n in range(1, len(path) + 1))

    def _place(self, path: Path) -> Place:
        node: Node = self.root
        place = node.place
        for step in path:
            if isinstance(node, Table) and step in node.rows:
                place = node.keys[str(step)]
                node = node.rows[str(step)]
            elif isinstance(node, Series) and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                place = node.place
            else:
                break
        return place


def _says_nothing(leaf: Node) -> bool:
    if isinstance(leaf, Scalar):
        return leaf.plain and leaf.text in ("", "~", "null", "Null", "NULL")
    return True


class Draft(msgspec.Struct):
    """A table in the making, for the new configuration; leaves are scalars with the place they came from."""

    place: Place
    rows: dict[str, "Draft | list[Draft] | list[Scalar] | Scalar"] = msgspec.field(default_factory=dict)

    def table(self, key: str, place: Place | None = None) -> "Draft":
        """Return the table under `key`, new if there is none."""
        found = self.rows.setdefault(key, Draft(place or self.place))
        assert isinstance(found, Draft)
        return found

    def node(self) -> Table:
        """Return what was drafted as a node."""
        rows: dict[str, Node] = {}
        for key, item in self.rows.items():
            if isinstance(item, Draft):
                rows[key] = item.node()
            elif isinstance(item, list):
                rows[key] = Series([part.node() if isinstance(part, Draft) else part for part in item], self.place)
            else:
                rows[key] = item
        return Table(rows, {key: node.place for key, node in rows.items()}, self.place)
