"""Where the recorded provider traffic is, which operations it is of, and how a body is cut into chunks."""

import base64
import gzip
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SIZES = (None, 1, 7)
"""Chunk sizes that every stream is tested at; None is the whole body at once."""
APIS = {
    "chat": "chat",
    "completions": "completions",
    "embeddings": "embeddings",
    "moderations": "moderations",
    "images_generations": "images_generations",
    "images_edits": "images_edits",
    "audio_speech": "audio_speech",
    "audio_transcriptions": "audio_transcriptions",
    "audio_translations": "audio_translations",
    "responses": "responses",
    "messages": "messages",
    "count_tokens": "messages_count_tokens",
    "generateContent": "generate_content",
    "streamGenerateContent": "stream_generate_content",
    "countTokens": "gemini_count_tokens",
    "embedContent": "embed_content",
    "batchEmbedContents": "batch_embed_contents",
    "converse": "converse",
    "converse_stream": "converse_stream",
    "invoke": "invoke",
    "invoke_with_response_stream": "invoke_stream",
    "v2_chat": "cohere_chat",
    "v2_embed": "cohere_embed",
    "v2_rerank": "cohere_rerank",
    "v1_rerank": "rerank",
    "rerank": "rerank",
}
"""Our operations, by the names of the recorded APIs."""


@cache
def load() -> tuple[dict[str, Any], ...]:
    """Read the development recordings, or skip the test that asks for them, saying where they were looked for."""
    beside = Path(__file__).parents[2].parent / "shared" / "recordings"
    folder = Path(os.environ.get("PORTICO_RECORDINGS", beside))
    file = folder / "dev.jsonl.gz"
    if not file.exists():
        pytest.skip(f"no recordings: {file} is absent; set PORTICO_RECORDINGS to the folder that holds dev.jsonl.gz")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line) for line in lines)


def body_of(record: dict[str, Any]) -> bytes:
    """Return the bytes of a recorded reply."""
    response = record["response"]
    if response.get("body_b64"):
        return base64.b64decode(response["body_b64"])
    return (response.get("body_text") or "").encode()


def chunks(body: bytes, size: int | None) -> Iterator[bytes]:
    """Cut a body into chunks of a size; None is one chunk."""
    if size is None:
        yield body
        return
    for at in range(0, len(body), size):
        yield body[at : at + size]


def recorded_chunks(record: dict[str, Any]) -> Iterator[bytes]:
    """Cut a recorded body as it came over the network; whole where that was not recorded."""
    body = body_of(record)
    at = 0
    for size in record["response"].get("chunk_sizes") or ():
        yield body[at : at + size]
        at += size
    if at < len(body):
        yield body[at:]
