"""What a dialect says of itself: all that the gateway must know of it before a call crosses."""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from portico.dialects.observer import Observer
from portico.dialects.operation import Operation
from portico.errors import PorticoError
from portico.types import Dialect, Usage

Headers = list[tuple[bytes, bytes]]


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """A dialect, without what reads and writes its conversations (`Language` in translate.py): that is loaded later.

    `title` is for people. `operations` are all its calls; `whole` and `streamed` name those that a conversation is.
    `error` returns headers and body of an error, `stream_error` the event that ends a stream with one; both get the
    call's id, which may be empty.

    `routes` are fixed paths at which callers post, `paths` those of its operations below a provider's base URL where
    row.py does not have them. `served_by` are the dialects that serve its callers best where a provider has not this
    one, best first; those that are not named follow in the order of `portico.types.Dialect`. `statuses` are those that
    its SDK knows and others do not, by the provider's. `usage` and `observers` read what was used, by operation;
    `answers` say with it whether that has shown a reply to be an answer, and no error. `loses` says what becomes of
    features that it cannot say, beside the table of crossing.toml. `model_in_body` is false where no body of a request
    names a model. `id_header` is where its SDK looks for a call's id, beside `x-request-id`.
    """

    title: str
    operations: tuple[Operation, ...]
    whole: str
    streamed: str
    error: Callable[[PorticoError, str], tuple[Headers, bytes]]
    stream_error: Callable[[PorticoError, str], bytes]
    routes: Mapping[str, str] = {}
    paths: Mapping[str, str] = {}
    served_by: tuple[Dialect, ...] = ()
    stream_type: bytes = b"text/event-stream"
    statuses: Mapping[int, int] = {}
    usage: Mapping[str, Callable[[bytes], Usage | None]] = {}
    answers: Mapping[str, Callable[[bytes], tuple[Usage | None, bool]]] = {}
    observers: Mapping[str, type[Observer]] = {}
    loses: Mapping[str, Literal["drop", "refuse"]] = {}
    model_in_body: bool = True
    id_header: bytes | None = None

    def named(self, call: str) -> Headers:
        """Return the header that names a call where this dialect's SDK looks for it; none without an id."""
        return [(self.id_header, call.encode("latin-1", "replace"))] if self.id_header and call else []
