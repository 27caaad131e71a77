"""What is set of a tool that a provider runs: where a search may look, and for whom.

platform.openai.com/docs/guides/tools-web-search, docs.anthropic.com/en/docs/agents-and-tools/tool-use/web-search-tool,
ai.google.dev/api/caching#GoogleSearch (read 2026-11-20).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from portico.dialects.crossing import Notes
from portico.ir import Tool

Settings = Mapping[str, Any]

_PLACE = ("city", "region", "country", "timezone")
# What a tool is, and marks that are told in their own way.
_NO_SETTINGS = frozenset(("type", "name", "cache_control", "citations", "external_web_access"))
_IDLE: tuple[Any, ...] = (None, False, "", [], {}, {"type": "auto"})


class Search(msgspec.Struct, frozen=True):
    """Settings of a web search; `more` names those that no other provider has.

    `place` has city, region, country and timezone, as far as they are known; `context_size` is OpenAI's.
    """

    allowed: list[str] = []
    blocked: list[str] = []
    place: dict[str, str] = {}
    context_size: str | None = None
    max_uses: int | None = None
    more: tuple[str, ...] = ()


def offline(tool: Tool) -> bool:
    """Return whether a search is to keep to what its maker has indexed, away from the live web.

    Codex asks for it so unless it is told otherwise; nobody but OpenAI has such a search.
    """
    return _settings(tool).get("external_web_access") is False


def search_of(tool: Tool) -> Search:
    """Read the settings of a web search as any dialect writes them; what is not of its shape counts as `more`."""
    left = dict(_settings(tool))
    filters = left.pop("filters", None)
    if isinstance(filters, dict):
        left |= filters
    found: dict[str, Any] = {
        "allowed": _domains(left, "allowed_domains"),
        "blocked": _domains(left, "blocked_domains") or _domains(left, "excludeDomains"),
    }
    place = left.get("user_location")
    inner = place.get("approximate", place) if isinstance(place, dict) else None
    if isinstance(inner, dict):
        del left["user_location"]
        found["place"] = {name: inner[name] for name in _PLACE if isinstance(inner.get(name), str) and inner[name]}
    size = left.get("search_context_size")
    if isinstance(size, str):
        del left["search_context_size"]
        # The usual one needs no telling.
        found["context_size"] = size if size != "medium" else None
    if type(left.get("max_uses")) is int:
        found["max_uses"] = left.pop("max_uses")
    return Search(more=_said(left), **found)


def note_settings(tool: Tool, notes: Notes) -> None:
    """Note that the settings of a provider's own tool, which is no search, are not passed on."""
    left = _said(_settings(tool))
    if left:
        notes.lost("server_tool_setting", f"{tool.name}: {', '.join(left)}")


def note_lost(tool: Tool, search: Search, notes: Notes, *kept: str) -> None:
    """Note the settings of a search that are not among those `kept`."""
    left = [name for name in ("allowed", "blocked", "place", "context_size", "max_uses") if name not in kept]
    lost = [name for name in left if getattr(search, name)] + list(search.more)
    if lost:
        notes.lost("server_tool_setting", f"{tool.name}: {', '.join(lost)}")


def _settings(tool: Tool) -> Settings:
    """Return what a dialect keeps of a tool; a Responses one as a whole."""
    whole = tool.extra.get("$tool")
    return whole if isinstance(whole, dict) else tool.extra


def _domains(settings: dict[str, Any], name: str) -> list[str]:
    listed = settings.get(name)
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        return []
    del settings[name]
    return listed


def _said(settings: Settings) -> tuple[str, ...]:
    return tuple(
        [
            name
            for name, value in settings.items()
            if name[:1] != "$" and name not in _NO_SETTINGS and value not in _IDLE
        ]
    )
