"""Calls that are no conversations, made at a provider that writes them otherwise: embeddings, rankings, counts.

The siblings of `translate.Question` and `translate.Translation`: a `Task` is what a caller asked, read once; an
`Errand` is that task put to one provider. Their replies come whole.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import Any, NamedTuple

import msgspec

from portico.dialects import counting, embed, rerank
from portico.dialects.crossing import Given, Notes, Target
from portico.dialects.forms import Form
from portico.dialects.operations import OPERATIONS, Operation
from portico.dialects.tokens import summed
from portico.dialects.translate import refusal
from portico.errors import BadUpstreamReply, InvalidRequest, UpstreamRefused
from portico.ir import Image
from portico.types import Dialect, Usage

Headers = Iterable[tuple[bytes, bytes]]


class Family(NamedTuple):
    """Operations that do the same: their forms, what makes one reply of several, and what their APIs are called."""

    forms: dict[str, Form[Any, Any]]
    merged: Callable[[list[Any]], Any]
    title: str


def _only(replies: list[Any]) -> Any:
    assert len(replies) == 1, "one request, one reply"
    return replies[0]


_EMBED = Family(dict(embed.FORMS), embed.merged, "embeddings")
_RERANK = Family(dict(rerank.FORMS), _only, "rankings")
_COUNT = Family(dict(counting.FORMS), _only, "counts")
_IN_A_SEARCH = 100
"""Documents that Bedrock ranks for the price of one query (aws.amazon.com/bedrock/pricing, read 2026-11-20)."""
_FAMILIES = (_EMBED, _RERANK, _COUNT)
_MAKERS: dict[Dialect, str] = {
    "chat": "OpenAI",
    "responses": "OpenAI",
    "messages": "Anthropic",
    "gemini": "Gemini",
    "converse": "Bedrock",
    "cohere": "Cohere",
}


class Task:
    """What a caller asked, read once for every provider that may be asked it. Raises InvalidRequest.

    `model` is the model by the caller's name.
    """

    __slots__ = ("asked", "family", "form", "operation")

    def __init__(self, operation: Operation, body: bytes, *, model: str) -> None:
        self.operation = operation
        self.family = next(family for family in _FAMILIES if operation.name in family.forms)
        self.form: Form[Any, Any] = self.family.forms[operation.name]
        self.asked = self.form.parse_request(body, model)

    def __repr__(self) -> str:
        return f"<Task {self.operation.name} {self.asked.model!r}>"


class Errand:
    """A task put to a provider, and what it answers in the caller's words.

    `body` is what to send, `more` what else is to be sent there where one request cannot hold it all: each gets a reply
    of its own, and `reply` makes one of them. `dropped` names what could not be said, by the table of crossing.toml.
    `known` is what it uses that the provider bills by what was asked for and does not report; `estimated` is true once
    a reply was told whose tokens had to be estimated, because its provider does not say.
    """

    __slots__ = ("_form", "_given", "_task", "_told", "body", "dropped", "estimated", "known", "more", "upstream")

    def __init__(self, task: Task, upstream: str, target: Target, given: Given, *, strict: bool = False) -> None:
        self._task = task
        self._given = given
        self.upstream = OPERATIONS[upstream]
        self._form = task.family.forms[upstream]
        # Whoever has `/rerank` tells errors as OpenAI does, or close to it; Cohere's too are read so.
        self._told: Dialect = "chat" if upstream == "rerank" else target.dialect
        notes = Notes(target.dialect, strict=strict, title=f"the {task.family.title} of {_MAKERS[target.dialect]}")
        bodies = self._form.render_request(task.asked, target, notes)
        if not bodies:
            raise InvalidRequest("the request asks for nothing")
        self.body: bytes = bodies[0]
        self.more: Sequence[bytes] = bodies[1:]
        self.dropped = notes.dropped
        self.estimated = False
        self.known: Usage | None = None
        if task.family is _RERANK and upstream == "invoke":
            self.known = Usage(searches=-(-len(task.asked.documents) // _IN_A_SEARCH))
        elif task.family is _EMBED and upstream == "invoke" and "titan-embed-image" in target.model:
            pictures = sum(type(part) is Image for each in task.asked.inputs for part in each.parts)
            self.known = Usage(images=pictures) if pictures else None

    def __repr__(self) -> str:
        return f"<Errand {self._task.operation.name} to {self.upstream.name}>"

    @property
    def content_type(self) -> bytes:
        """Of the reply."""
        return b"application/json"

    def hears(self, _: bytes) -> bool:
        """Return that a reply is still to be looked at, whatever it is."""
        return False

    def part(self, body: bytes) -> "Errand":
        """Return this with another of its bodies, to be sent by itself."""
        other = copy(self)
        other.body, other.more = body, ()
        return other

    def reply(self, body: bytes, *more: bytes) -> bytes:
        """Return a provider's replies as the caller reads them. Raises BadUpstreamReply for what is none."""
        task = self._task
        found = task.family.merged([self._form.parse_reply(each) for each in (body, *more)])
        if self.known is not None and not (found.usage is not None and found.usage.searches):
            found = msgspec.structs.replace(found, usage=summed((found.usage, self.known)))
        self.estimated = task.family is _EMBED and found.usage is None
        if task.family is _EMBED and len(found.vectors) != len(task.asked.inputs):
            raise BadUpstreamReply(
                f"the provider sent {len(found.vectors)} vectors for {len(task.asked.inputs)} inputs"
            )
        return task.form.render_reply(found, task.asked, self._given)

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamRefused:
        """Return a provider's error reply as an error to be rendered in the caller's dialect."""
        return refusal(self._task.operation.dialect, self._told, status, headers, body)
