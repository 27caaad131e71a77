"""What a call used, by its operation: of a whole reply, or of a stream that is watched."""

from collections.abc import Callable, Iterable

from portico.dialects import chat, cohere, converse, gemini, invoke, media, messages, responses
from portico.dialects.observer import Observer
from portico.dialects.operations import Operation
from portico.types import Usage

_READERS: dict[str, Callable[[bytes], Usage | None]] = {
    "chat": chat.read_usage,
    "completions": chat.read_usage,
    "embeddings": chat.read_usage,
    "moderations": chat.read_usage,
    "images_generations": media.read_usage,
    "images_edits": media.read_usage,
    "images_variations": media.read_usage,
    "audio_transcriptions": media.read_usage,
    "audio_translations": media.read_usage,
    "responses": responses.read_usage,
    "messages": messages.read_usage,
    "generate_content": gemini.read_usage,
    "embed_content": gemini.read_usage,
    "batch_embed_contents": gemini.read_usage,
    "converse": converse.read_usage,
    "cohere_chat": cohere.read_usage,
    "cohere_embed": cohere.read_usage,
    "cohere_rerank": cohere.read_usage,
    "rerank": cohere.read_usage,
}
_OBSERVERS: dict[str, type[Observer]] = {
    "chat": chat.ChatObserver,
    "completions": chat.ChatObserver,
    "images_generations": media.MediaObserver,
    "images_edits": media.MediaObserver,
    "audio_speech": media.MediaObserver,
    "audio_transcriptions": media.MediaObserver,
    "responses": responses.ResponsesObserver,
    "messages": messages.MessagesObserver,
    "stream_generate_content": gemini.GeminiObserver,
    "converse_stream": converse.ConverseObserver,
    "invoke_stream": invoke.InvokeObserver,
    "cohere_chat": cohere.CohereObserver,
}


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


def observer(operation: Operation, *, hide_usage: bool) -> Observer:
    """Return who watches a stream of this operation. `hide_usage` removes what the caller did not ask for."""
    return _OBSERVERS.get(operation.name, Observer)(operation, hide_usage)
