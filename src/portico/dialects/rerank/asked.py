"""What all APIs that rank documents meet in."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from portico.dialects.forms import count_in, taken
from portico.errors import InvalidRequest
from portico.types import Dialect, Usage

Style = Literal["cohere", "jina", "voyage"]
"""Whose words a request is written in: that decides over the reply's."""


class Rank(msgspec.Struct, frozen=True, kw_only=True):
    """Documents to rank by a query: texts, or tables of fields, of which `fields` are looked at.

    `top` bounds the results. `per_document` bounds the tokens of a document that are read, `chunks` the pieces that it
    is read in. `truncate` false refuses what is too long. `extra` holds the fields that only their own API knows.
    """

    dialect: Dialect
    style: Style
    model: str
    query: str
    documents: tuple[str | Mapping[str, Any], ...]
    fields: tuple[str, ...] = ()
    top: int | None = None
    shown: bool = False
    per_document: int | None = None
    chunks: int | None = None
    truncate: bool | None = None
    extra: Mapping[str, Any] = MappingProxyType({})

    def texts(self) -> list[str]:
        """Return each document as text: a table of fields as its lines, its text alone where it has nothing else."""
        return [self._text(document) for document in self.documents]

    def _text(self, document: str | Mapping[str, Any]) -> str:
        if isinstance(document, str):
            return document
        names = self.fields or tuple(document)
        found = {name: document[name] for name in names if name in document}
        if list(found) == ["text"] and isinstance(found["text"], str):
            return found["text"]
        return "\n".join(f"{name}: {_line(value)}" for name, value in found.items())


def _line(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A document's place: its index in the request, and its score, as it was written."""

    index: int
    score: msgspec.Raw = msgspec.field(name="relevance_score")


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """What came back, best first."""

    results: tuple[Result, ...]
    id: str = ""
    model: str = ""
    usage: Usage | None = None


def read(fields: dict[str, Any], dialect: Dialect, style: Style, model: str) -> Rank:
    """Read what all requests have."""
    fields.pop("model", None)
    query = fields.pop("query", None)
    if isinstance(query, dict) and isinstance(query.get("text"), str):  # Jina's models of pictures
        query = query["text"]
    if not isinstance(query, str):
        raise InvalidRequest("`query` must be a string", param="query")
    documents = fields.pop("documents", None)
    if not isinstance(documents, list) or not documents:
        raise InvalidRequest("`documents` must be a list with something in it", param="documents")
    if not all(isinstance(each, str | dict) for each in documents):
        raise InvalidRequest("`documents` must be texts or objects", param="documents")
    names = taken(fields, "rank_fields", list, "a list of names") or []
    top = fields.pop("top_k", None) if fields.get("top_n") is None else fields.pop("top_n", None)
    fields.pop("top_n", None)
    if top is not None and (type(top) is not int or top < 1):
        raise InvalidRequest("`top_n` must be a whole number above zero", param="top_n")
    return Rank(
        dialect=dialect,
        style=style,
        model=model,
        query=query,
        documents=tuple(documents),
        fields=tuple(str(name) for name in names),
        top=top,
        shown=bool(taken(fields, "return_documents", bool, "true or false")),
        per_document=count_in(fields, "max_tokens_per_doc"),
        chunks=count_in(fields, "max_chunks_per_doc"),
        truncate=taken(fields, "truncation", bool, "true or false"),
        extra=fields,
    )
