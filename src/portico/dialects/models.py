"""The list of models, in the shapes of the three APIs that have one.

OpenAI: https://platform.openai.com/docs/api-reference/models (read 2026-11).
Anthropic: https://docs.anthropic.com/en/api/models-list (read 2026-11).
Gemini: https://ai.google.dev/api/models (read 2026-11).
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from portico.errors import InvalidRequest
from portico.types import Dialect

Named = Sequence[tuple[str, str]]
"""Names of models, each with who owns it."""


_BEDROCKS = ("converse", "invoke", "count-tokens")
_COHERES = ("/v2/chat", "/v2/embed", "/v2/rerank")


def style(path: str, fields: Mapping[bytes, bytes]) -> Dialect:
    """Return whose shape the asker reads, by its path and what its SDK sends along; OpenAI's is `chat`."""
    if path.startswith("/v1beta") or b"x-goog-api-key" in fields or b"x-goog-api-client" in fields:
        return "gemini"
    if path.startswith("/v1/messages") or b"anthropic-version" in fields:
        return "messages"
    if path.startswith("/model/") and path.rpartition("/")[2].startswith(_BEDROCKS):
        return "converse"
    return "cohere" if path.startswith(_COHERES) else "chat"


def render_models(dialect: Dialect, named: Named, query: str = "") -> bytes:
    """Write a list: all of it, or the page that a query asks for in the way of the dialect's API.

    Anthropic's pages are asked for with `limit`, `after_id` and `before_id`, Gemini's with `pageSize` and `pageToken`,
    which here is the name of the page's first model. Raises InvalidRequest for a query that makes no sense.
    """
    if dialect == "chat":
        return msgspec.json.encode({"object": "list", "data": [_row(dialect, *pair) for pair in named]})
    asked = dict(parse_qsl(query))
    if dialect == "gemini":
        page, following = _gemini_page(named, asked)
        models = [_row(dialect, *pair) for pair in page]
        return msgspec.json.encode({"models": models, **({"nextPageToken": following} if following else {})})
    page, more = _anthropic_page(named, asked)
    ends = {"first_id": page[0][0], "last_id": page[-1][0]} if page else {"first_id": None, "last_id": None}
    return msgspec.json.encode({"data": [_row(dialect, *pair) for pair in page], "has_more": more, **ends})


def _size(asked: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        if name in asked:
            written = asked[name]
            if not written.isascii() or not written.isdigit() or not 0 < len(written) < 8 or not int(written):
                raise InvalidRequest(f"`{name}` must be a whole number above zero", param=name)
            return int(written)
    return None


def _place(named: Named, name: str, param: str) -> int:
    """Return where a model stands that a page begins or ends at."""
    for index, (listed, _) in enumerate(named):
        if listed == name:
            return index
    raise InvalidRequest(f"`{param}` names no model of the list", param=param)


def _gemini_page(named: Named, asked: Mapping[str, str]) -> tuple[Named, str]:
    """Return a page, and the token of the next one."""
    token = asked.get("pageToken") or asked.get("page_token")
    start = _place(named, token, "pageToken") if token else 0
    size = _size(asked, "pageSize", "page_size")
    end = len(named) if size is None else start + size
    return named[start:end], named[end][0] if end < len(named) else ""


def _anthropic_page(named: Named, asked: Mapping[str, str]) -> tuple[Named, bool]:
    """Return a page, and whether there are more in the direction that is gone."""
    size = _size(asked, "limit") or len(named)
    if "before_id" in asked:
        end = _place(named, asked["before_id"], "before_id")
        start = max(end - size, 0)
        return named[start:end], start > 0
    start = _place(named, asked["after_id"], "after_id") + 1 if "after_id" in asked else 0
    return named[start : start + size], start + size < len(named)


def render_model(dialect: Dialect, name: str, owner: str) -> bytes:
    """Write one model."""
    return msgspec.json.encode(_row(dialect, name, owner))


def _row(dialect: Dialect, name: str, owner: str) -> dict[str, Any]:
    if dialect == "gemini":
        # What a model of another API can do is not known before it is asked.
        methods = ["generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"]
        return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}
    if dialect == "messages":
        return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}
