"""The requests in a batch of Anthropic's: which models they name, and the batch with other names for them.

A request is `{"custom_id", "params"}`, its params a request to Messages
(docs.anthropic.com/en/api/creating-message-batches, read 2026-11-20).
"""

from collections.abc import Mapping, Sequence

import msgspec

from portico.dialects.operations import OPERATIONS
from portico.dialects.request import Peek, peek, rewrite
from portico.dialects.tokens import UNREADABLE
from portico.errors import InvalidRequest


class _Entry(msgspec.Struct):
    params: msgspec.Raw


MESSAGES = OPERATIONS["messages"]
_entries = msgspec.json.Decoder(list[_Entry])


class Batched(msgspec.Struct, frozen=True):
    """One request of a batch: its bytes, and what they say."""

    body: bytes
    asked: Peek

    @property
    def model(self) -> str:
        """The model that it names."""
        return self.asked.model or ""


def batched(members: Mapping[str, msgspec.Raw]) -> list[Batched]:
    """Return the requests of a batch. Raises InvalidRequest for what is no batch."""
    try:
        entries = _entries.decode(members.get("requests", msgspec.Raw(b"[]")))
    except UNREADABLE as error:
        raise InvalidRequest("`requests` must be a list of objects with `params`", param="requests") from error
    found = []
    for place, entry in enumerate(entries):
        body = bytes(entry.params)
        try:
            asked = peek(MESSAGES, body, b"application/json")
        except InvalidRequest as error:
            raise InvalidRequest(f"request {place}: {error.message}", param=f"requests.{place}") from error
        if not asked.model:
            raise InvalidRequest(f"request {place} names no `model`", param=f"requests.{place}.params.model")
        found.append(Batched(body, asked))
    return found


def renamed(body: bytes, requests: Sequence[Batched], models: Sequence[str]) -> bytes:
    """Return a batch with these models in its requests, every other byte left as it is."""
    pieces = []
    at = 0
    for request, model in zip(requests, models, strict=True):
        start = body.index(request.body, at)
        told = rewrite(MESSAGES, request.body, request.asked, model=model, ask_usage=False)
        pieces += [body[at:start], told]
        at = start + len(request.body)
    return b"".join([*pieces, body[at:]])
