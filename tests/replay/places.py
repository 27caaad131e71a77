"""Where a recording was made, as a provider of a configuration: a row of the catalog, or an endpoint like one."""

import re
import zlib
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from portico.config import schema
from portico.dialects.operations import OPERATIONS
from portico.providers.catalog import CATALOG

ROWS = {
    "azure": ("azure", "azure_ai"),
    "azure_ai": ("azure_ai", "azure_anthropic"),
    "gemini": ("gemini", "gemini_openai"),
    "vercel_gateway": ("vercel_ai_gateway",),
    "vllm_or_local": ("vllm",),
    "watsonx": (),  # recorded at another of its APIs, whose key is not the catalog's
}
"""The rows that a recorded provider may stand for, where that is not the row of the same name."""
LIKE = {"messages": "anthropic", "messages_count_tokens": "anthropic"}
"""Whom an endpoint of one's own is like, where that is not OpenAI."""

_HOLES = re.compile(r"\\\{(\w+)\\\}")


class Place(NamedTuple):
    """A provider to be configured: its name, the row it is like, the path of its base URL, its options."""

    name: str
    row: str
    base: str
    options: tuple[tuple[str, str], ...]

    def declared(self, origin: str) -> schema.Provider:
        """Return its configuration, with the fake upstream's origin."""
        options: dict[str, Any] = dict(self.options)
        if self.row == "bedrock" and not self.name.endswith("_bearer"):
            options |= {"access_key_id": self.key, "secret_access_key": f"secret-of-{self.name}", "region": "us-east-1"}
            return schema.Provider(like=self.row, base_url=origin + self.base, options=options, proxy="none")
        return schema.Provider(
            like=self.row, base_url=origin + self.base, api_key=self.key, options=options, proxy="none"
        )

    @property
    def key(self) -> str:
        """The provider's key, which no other provider has."""
        return f"key-of-{self.name}"


class Found(NamedTuple):
    """A place, and the model as the path names it (None where it does not)."""

    place: Place
    model: str | None


def find(provider: str, operation: str, path: str) -> Found | None:
    """Return the place whose operation is at a recorded path, None where no row has it there."""
    rows = [row for row in ROWS.get(provider, (provider,)) if row in CATALOG]
    for row in (*rows, LIKE.get(operation, "openai")):
        if operation not in CATALOG[row].every_operation:
            continue
        for template in {CATALOG[row].path(operation), CATALOG[row].streams.get(operation, "")} - {""}:
            found = _matched(template.partition("?")[0], path)
            if found is not None:
                base, named = found
                model = named.pop("model", None)
                options = tuple(sorted(named.items()))
                return Found(Place(_name(provider, row, base, options), row, base, options), model)
    return None


def root(provider: str, path: str) -> Place:
    """Return the place that a recorded path is passed through to: its provider's row, at the row's own base path."""
    row = next((row for row in ROWS.get(provider, (provider,)) if row in CATALOG), "openai")
    base = "" if row == "openai" and provider != "openai" else urlsplit(CATALOG[row].base_url).path
    if "{" in base or not path.startswith(base + "/"):
        base = ""
    named = CATALOG[row].options.keys() & {"project", "location"}
    return Place(_name("to_" + provider, row, base, ()), row, base, tuple((name, "global") for name in sorted(named)))


def _matched(template: str, path: str) -> tuple[str, dict[str, str]] | None:
    """Match the end of a path; return what is before it, and what stands in the template's holes."""
    if not template.startswith("/"):
        return None
    pattern = _HOLES.sub(lambda hole: f"(?P<{hole[1]}>[^/]+?)", re.escape(template))
    if "projects" in template:  # Vertex's: what was recorded at one version goes to the one of the row
        pattern = re.sub("^/v1(beta1)?/", "/v1(?:beta1)?/", pattern)
    match = re.fullmatch(rf"(?P<base>(?:/[^/]+)*){pattern}", path)
    if match is None:
        return None
    named = {name: unquote(value) for name, value in match.groupdict().items() if name != "base"}
    return match["base"], named


def _name(provider: str, row: str, base: str, options: tuple[tuple[str, str], ...]) -> str:
    parts = [provider, *([row] if row != provider else []), *base.split("/"), *(value for _, value in options)]
    text = "_".join(parts)
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    # Two places must not have one name, whatever was left out of it.
    return name if re.fullmatch(r"[a-z0-9_]*", text) else f"{name}_{zlib.crc32(text.encode()):x}"


def encoded(model: str) -> str:
    """Write a model's name as one segment of a path, as Portico does."""
    return quote(model, safe="-._~@")


assert LIKE.keys() <= OPERATIONS.keys()
