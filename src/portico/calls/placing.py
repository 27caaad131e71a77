"""Where LiteLLM's callers say that a new object is to be kept: at a provider, or where a model is served.

They name the provider by the header `custom-llm-provider`, by `custom_llm_provider` or `provider` in the query, or by a
field `custom_llm_provider` of the body, and the model by a field `target_model_names`
(docs.litellm.ai/docs/files_endpoints and docs/proxy/litellm_managed_files, read 2026-11-21). Providers do not know
these: they do not go on.
"""

import mmap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from portico.dialects.limits import spared
from portico.dialects.operation import Operation
from portico.dialects.request import Peek, peek_form
from portico.errors import InvalidRequest
from portico.upstream.keyring import Credential
from portico.upstream.outgoing import Body, Outgoing, Way
from portico.upstream.spooled import spliced
from portico.upstream.target import Target, Upstream

HEADER: Final = b"custom-llm-provider"
FIELDS: Final = ("custom_llm_provider", "target_model_names")
IN_QUERY: Final = frozenset((*FIELDS, "provider"))
LIKE: Final = {"vertex_ai": "vertex", "hosted_vllm": "vllm", "azure_text": "azure"}
"""Kinds of providers that have another name at LiteLLM."""
MOST_KEPT: Final = 1 << 20
"""Bytes between two fields of a form in a spool file, which are held in memory while the fields are left out."""

Gap = tuple[int, int, bytes]
"""What is left out of a body: from where to where, and what stands there instead."""


class Placing(NamedTuple):
    """What a caller says of where something new goes, and the request without it. `gap` is in a spooled body."""

    provider: str | None
    model: str | None
    query: str
    body: bytes | mmap.mmap
    asked: Peek | None
    gap: Gap | None = None


class Trimmed(Outgoing):
    """A request whose body is in a spool file, a part of which does not go on."""

    __slots__ = ("gap",)

    def __init__(
        self,
        gap: Gap,
        operation: Operation,
        headers: Sequence[tuple[bytes, bytes]],
        query: str,
        body: bytes | mmap.mmap,
        asked: Peek | None,
        limit: int,
        ways: dict[tuple[Target, Credential, bool], Way],
    ) -> None:
        super().__init__(operation, headers, query, body, asked, limit, ways)
        self.gap = gap

    def body_for(self, target: object, auth: object, way: object) -> Body:
        """Return the body that every target gets."""
        assert isinstance(self.body, mmap.mmap)
        return spliced(self.body, *self.gap)


def placing(
    fields: Mapping[bytes, bytes],
    query: str,
    operation: Operation,
    body: bytes | mmap.mmap,
    kind: bytes,
    asked: Peek | None,
) -> Placing:
    """Read what LiteLLM's callers say of where something is to be kept. Raises InvalidRequest."""
    said: dict[str, str] = {}
    pairs = [pair for pair in query.split("&") if pair]
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name in IN_QUERY:
            said.setdefault("custom_llm_provider" if name == "provider" else name, value)
    if said:
        query = "&".join(pair for pair in pairs if pair.partition("=")[0] not in IN_QUERY)
    gap: Gap | None = None
    if asked is not None and asked.members is not None and not asked.members.keys().isdisjoint(FIELDS):
        for name in FIELDS:
            if (raw := asked.members.get(name)) is not None:
                said[name] = bytes(raw).decode("utf-8", "replace").strip('"')
        body, asked = spared(operation, asked, FIELDS)
    elif kind.startswith(b"multipart/"):
        body, gap = _of_form(body, kind, said)
    if HEADER in fields:
        said["custom_llm_provider"] = fields[HEADER].decode("latin-1")
    names = [name for part in said.get("target_model_names", "").split(",") if (name := part.strip())]
    if len(names) > 1:
        raise InvalidRequest(
            "what is uploaded is kept at one provider: `target_model_names` is one name", param="target_model_names"
        )
    return Placing(said.get("custom_llm_provider") or None, names[0] if names else None, query, body, asked, gap)


def meant(name: str, upstreams: Mapping[str, Upstream]) -> str:
    """Return the provider that LiteLLM's name of its kind means where one is meant, else the name itself."""
    if name in upstreams:
        return name
    like = LIKE.get(name, name)
    alike = [upstream.name for upstream in upstreams.values() if upstream.provider.like == like]
    return alike[0] if len(alike) == 1 else name


def _of_form(body: bytes | mmap.mmap, kind: bytes, said: dict[str, str]) -> tuple[bytes | mmap.mmap, Gap | None]:
    """Read the fields of a form, and return it without them; of one in a spool file, what is to be left out."""
    try:
        form = peek_form(body, kind).form
    except InvalidRequest:
        return body, None  # the provider's to refuse
    if form is None or form.spans.keys().isdisjoint(FIELDS):
        return body, None
    parts = []
    for name in FIELDS:
        if (text := form.text(name)) is not None:
            said[name] = text
            value, end = form.spans[name]
            # From its own boundary to the next one, which each end with the line break before it.
            start = _begin(body, value, form.delimiter)
            parts.append((start, end + 2))
    parts.sort()
    first, last = parts[0][0], parts[-1][1]
    between = b"".join(body[end:start] for (_, end), (start, _) in pairwise(parts))
    if isinstance(body, bytes):
        return b"".join((body[:first], between, body[last:])), None
    if len(between) > MOST_KEPT:
        raise InvalidRequest("the fields of a large form come before its file")
    return body, (first, last, between)


def _begin(body: bytes | mmap.mmap, value: int, delimiter: bytes) -> int:
    found = body.rfind(delimiter, 0, value)
    assert found >= 0, "the form was read"
    return found
