"""Anthropic's Messages as Vertex AI takes them: the model stands in the path alone, the version in the body.

https://docs.anthropic.com/en/api/claude-on-vertex-ai (read 2026-11-20).
"""

import msgspec

from portico.dialects.request import Peek

VERSION = msgspec.Raw(b'"vertex-2023-10-16"')


def rewrite(body: bytes, peek: Peek, model: str | None = None) -> bytes:
    """Return the body with `anthropic_version` where the caller wrote none, and without its `model`.

    A count of tokens has another path, and the model in the body: `model` is then put there.
    """
    if peek.members is None:
        return body
    kept = {name: value for name, value in peek.members.items() if name != "model"}
    named = {} if model is None else {"model": model}
    return msgspec.json.encode({"anthropic_version": VERSION, **named, **kept})
