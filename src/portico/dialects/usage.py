"""What a call used, by its operation: of a whole reply, or of a stream that is watched."""

from collections.abc import Callable, Iterable
from typing import Final

from portico.dialects import invoke
from portico.dialects.observer import Observer
from portico.dialects.operation import Operation
from portico.dialects.registry import SPOKEN
from portico.types import Usage

_READERS: Final[dict[str, Callable[[bytes], Usage | None]]] = {
    name: reader for spoken in SPOKEN.values() for name, reader in spoken.usage.items()
}
_ANSWERS: Final[dict[str, Callable[[bytes], tuple[Usage | None, bool]]]] = {
    name: reader for spoken in SPOKEN.values() for name, reader in spoken.answers.items()
}
_OBSERVERS: Final[dict[str, type[Observer]]] = {
    name: kind for spoken in SPOKEN.values() for name, kind in spoken.observers.items()
} | {"invoke_stream": invoke.InvokeObserver}


def read_usage(operation: Operation, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> Usage | None:
    """Read what a whole reply says was used, None where it says nothing. Does not raise, whatever the bytes.

    `headers` are the reply's, names lowercased: Bedrock's `invoke` says it there. Counting tokens is free, and
    speech is billed by the characters of its request: their replies have no usage.
    """
    reader = _READERS.get(operation.name)
    if reader is not None:
        return reader(body)
    if operation.name == "invoke":
        return invoke.read_usage(body, headers)
    if operation.streams == "path":
        watch = observer(operation, hide_usage=False)
        watch.feed(body)
        watch.flush()
        return watch.usage
    return None


def read_answer(
    operation: Operation, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()
) -> tuple[Usage | None, bool]:
    """Read the same, and return whether that has shown the reply to be an answer, and no error."""
    reader = _ANSWERS.get(operation.name)
    return reader(body) if reader is not None else (read_usage(operation, body, headers), False)


def observer(operation: Operation, *, hide_usage: bool) -> Observer:
    """Return who watches a stream of this operation. `hide_usage` removes what the caller did not ask for."""
    return _OBSERVERS.get(operation.name, Observer)(operation, hide_usage)
