"""Marks of how far a prompt may be cached, read and written: `cache_control`, as Anthropic's models take it."""

from portico.dialects.chat.hints import Table
from portico.dialects.crossing import Notes, Target
from portico.ir import CacheMark


def parse_mark(fields: Table, hints: Table) -> CacheMark | None:
    """Take a cache mark out of an object; one that is not understood stays in it."""
    mark = fields.get("cache_control")
    if type(mark) is not dict or mark.get("type") != "ephemeral" or not mark.keys() <= {"type", "ttl"}:
        return None
    ttl = mark.get("ttl")
    if "ttl" in mark and ttl != "5m" and ttl != "1h":
        return None
    del fields["cache_control"]
    if ttl == "5m":
        hints["ttl"] = True
    return CacheMark(ttl="1h" if ttl == "1h" else "5m")


def render_mark(fields: Table, mark: CacheMark | None, hints: Table, own: bool, target: Target, notes: Notes) -> None:
    """Write a cache mark into an object, where the target knows them."""
    if mark is None:
        return
    if not own and "cache_control" not in target.quirks:
        notes.lost("cache_mark")
        return
    fields["cache_control"] = {"type": "ephemeral"}
    if mark.ttl == "1h" or "ttl" in hints:
        fields["cache_control"]["ttl"] = mark.ttl
