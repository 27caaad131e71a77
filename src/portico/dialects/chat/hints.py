"""How something was written: kept under `$` in `extra` by the parser, followed by the renderer of the same dialect.

All other names in `extra` are fields of the wire that nobody here knows. A field that a caller named `$` himself is
left out: no API has one.
"""

from typing import Any

from portico.ir import Extra, Node

Table = dict[str, Any]
"""A JSON object."""

HINTS = "$"
NONE: Table = {}
"""No hints; not to be changed."""


def keep(fields: Table, hints: Table) -> Extra:
    """Return what is left of a parsed object as `extra`, with hints where there are any."""
    if HINTS in fields:
        del fields[HINTS]
    if hints:
        fields[HINTS] = hints
    return fields


def reopened(node: Node, own: bool) -> tuple[Table, Table]:
    """Return the fields that a node kept from the wire, to be added to, and its hints; none for a foreign one."""
    extra = node.extra
    if not own or not extra:
        return {}, NONE
    fields = extra.copy()
    return fields, fields.pop(HINTS, NONE)
