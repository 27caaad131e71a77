"""Values as litellm reads them: `os.environ/NAME`, and what `environment_variables` puts there."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from portico.config.document import Node, Scalar, Table
from portico.config.interpolation import escape
from portico.config.litellm.ledger import Ledger
from portico.config.problems import Path

_PREFIX = "os.environ/"


class Values:
    """The environment that litellm would have, seen from its file."""

    def __init__(self, root: Table, environ: Mapping[str, str], ledger: Ledger) -> None:
        section = root.rows.get("environment_variables")
        self.own: dict[str, Node] = section.rows if isinstance(section, Table) else {}
        self.environ = environ
        self.ledger = ledger

    def written(self, node: Node, to: Path) -> Scalar | None:
        """Return a value as the new configuration writes it: a literal, or `${NAME}`. None when it says nothing."""
        if not isinstance(node, Scalar) or (node.plain and node.text in ("", "~", "null", "Null", "NULL")):
            return None
        name = variable(node)
        if name is None:
            return Scalar(escape(node.text), node.place, plain=node.plain)
        if name in self.own:
            return self._own(name, to)
        return Scalar(f"${{{name}}}", node.place)

    def known(self, node: Node | None) -> str | None:
        """Return what a value is now; None when it says nothing, or its variable is not set."""
        if not isinstance(node, Scalar) or (node.plain and node.text in ("", "~", "null")):
            return None
        name = variable(node)
        if name is None:
            return node.text
        inner = self.own.get(name)
        if isinstance(inner, Scalar) and variable(inner) is None:
            return inner.text
        return self.environ.get(name)

    def default_key(self, name: str | None, to: Path) -> Scalar | None:
        """Return a key that `environment_variables` sets under the name where litellm looks when none is given."""
        return self._own(name, to) if name is not None and name in self.own else None

    def number(self, node: Node | None) -> Decimal | None:
        """Return a value as a number of zero or more; None where it is not one."""
        text = self.known(node)
        try:
            number = Decimal(text) if text is not None and len(text) <= 40 else None
        except InvalidOperation:
            return None
        return number if number is not None and number.is_finite() and 0 <= number < 10**15 else None

    def _own(self, name: str, to: Path) -> Scalar | None:
        inner = self.own[name]
        if not isinstance(inner, Scalar):
            return None
        self.ledger.carry(("environment_variables", name), to)
        outer = variable(inner)
        return Scalar(escape(inner.text) if outer is None else f"${{{outer}}}", inner.place)


def variable(node: Scalar) -> str | None:
    """Return the name in `os.environ/NAME`; only a whole text of that form counts."""
    name = node.text.removeprefix(_PREFIX)
    if name == node.text or not name.isascii() or not name.isidentifier():
        return None
    return name


def decimal_text(number: Decimal) -> str:
    """Write a number without an exponent and without trailing zeros."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
