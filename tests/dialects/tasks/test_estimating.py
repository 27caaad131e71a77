"""The estimate of a request's tokens: against what providers reported, and by what makes it up."""

import json
import statistics
import struct
import zlib
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from tests.framing.recordings import body_of, load

from portico.dialects import chat, cohere, converse, gemini, messages, responses
from portico.dialects.estimating import SAMPLED, estimate, family_of, text_tokens, weigh
from portico.dialects.media_tokens import audio_tokens, file_tokens, image_tokens, video_tokens
from portico.dialects.operations import OPERATIONS
from portico.dialects.picture_size import size_of
from portico.dialects.usage import observer, read_usage
from portico.errors import InvalidRequest
from portico.ir import Audio, File, Image, Message, Output, Refusal, Request, Source, Text, ToolCall, Video

READERS: dict[str, tuple[Any, str]] = {
    "chat": (chat, "chat"),
    "responses": (responses, "responses"),
    "messages": (messages, "messages"),
    "generateContent": (gemini, "generate_content"),
    "streamGenerateContent": (gemini, "stream_generate_content"),
    "converse": (converse, "converse"),
    "converse_stream": (converse, "converse_stream"),
    "v2_chat": (cohere, "cohere_chat"),
}
# The median error, and that of nine calls of ten, as a part of what was reported.
BOUNDS = {
    "gpt-4o": (0.08, 0.30),
    "gpt-oss-120b": (0.04, 0.15),
    "claude-sonnet-4-5": (0.10, 0.55),
    "claude-3-haiku": (0.12, 0.60),
    "gemini-2.5-flash": (0.13, 0.80),
    "gemini-2.0-flash": (0.10, 0.40),
    "qwen3": (0.20, 0.80),
    "mistral-large": (0.12, 0.90),
}
MEASURED = 2_000
"""Calls that the short form looks at; they are told apart by the recordings' ids, which are hashes."""


def reported() -> Iterator[tuple[Request, str, int]]:
    """Yield recorded requests of text and tools alone, the model's name, and the tokens that were reported."""
    records = sorted(load(), key=lambda record: record["id"])
    found = 0
    for record in records:
        body = record["request"].get("body")
        api = record["api"]
        if api not in READERS or record["response"]["status"] != 200 or not isinstance(body, dict):
            continue
        language, operation = READERS[api]
        path = record["request"]["path"].split("/")
        model = str(body.get("model") or (path[2] if api.startswith("converse") else path[-1].split(":")[0]))
        try:
            request = language.parse_request(json.dumps(body).encode(), model=model, stream=False)
        except InvalidRequest:
            continue
        if not plain(request) or record.get("response_only"):
            continue
        watch = observer(OPERATIONS[operation], hide_usage=False)
        if record["streaming"]:
            watch.feed(body_of(record))
            watch.flush()
        usage = watch.usage if record["streaming"] else read_usage(OPERATIONS[operation], body_of(record))
        if usage is not None and usage.input_total:
            yield request, model, usage.input_total
            found += 1
            if found == MEASURED:
                return


def plain(request: Request) -> bool:
    """Return whether all of a request's input can be seen."""
    if any(name in request.extra for name in ("previous_response_id", "conversation", "prompt", "cachedContent")):
        return False
    kinds = {type(part) for message in request.messages for part in message.parts}
    seen = kinds <= {Text, Refusal, ToolCall}
    return seen and all(tool.kind == "function" for tool in request.tools)


def test_the_estimate_is_as_near_to_what_providers_reported_as_is_said() -> None:
    errors: dict[Any, list[float]] = defaultdict(list)
    for request, model, count in reported():
        errors[family_of(model.lower())].append(abs(estimate(request, model) - count) / count)
    for model, (median, most) in BOUNDS.items():
        found = sorted(errors[family_of(model)])
        assert len(found) > 20, model
        assert statistics.median(found) <= median, model
        assert found[len(found) * 9 // 10] <= most, model


# Text

TEXTS = {
    "": (0, 0),
    "Hello": (1, 2),
    "The quick brown fox jumps over the lazy dog.": (9, 12),
    "def f(x):\n    return x ** 2\n": (10, 18),
    "1234567890": (4, 9),
    "東京都の天気は晴れです": (6, 14),
    "Привет, как дела?": (5, 14),
    "🎉🎉🎉": (3, 9),
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_about_as_many_tokens_as_a_tokeniser_makes_of_it(text: str) -> None:
    low, high = TEXTS[text]
    assert low <= text_tokens(text, "gpt-4o") <= high


def test_long_texts_are_sampled_and_stay_near() -> None:
    page = "".join(f"Line {at}: the harbour at dawn, {at * 37 % 101} ships.\n" for at in range(6000))
    assert len(page) > 4 * SAMPLED
    whole = sum(weigh(page[at : at + SAMPLED]) for at in range(0, len(page), SAMPLED))
    assert weigh(page) == pytest.approx(whole, rel=0.03)


def test_more_is_never_less() -> None:
    said = [Message(role="user", parts=(Text(text="How are you?"),))]
    counts = []
    for size in range(1, 6):
        request = Request(dialect="chat", model="gpt-4o", messages=tuple(said * size))
        counts.append(estimate(request))
    assert counts == sorted(set(counts))
    assert estimate(Request(dialect="chat", model="gpt-4o")) >= 1


def test_a_schema_for_the_answer_counts_where_its_model_counts_it() -> None:
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in ("city", "country", "weather")}}
    asked = Request(dialect="chat", model="x", output=Output(kind="json_schema", schema=schema))
    bare = Request(dialect="chat", model="x")
    assert estimate(asked, "gpt-4o") > estimate(bare, "gpt-4o")
    assert estimate(asked, "gemini-2.5-flash") == estimate(bare, "gemini-2.5-flash")


# Media


def png(width: int, height: int) -> bytes:
    head = struct.pack(">II", width, height) + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))


def jpeg(width: int, height: int) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", 500) + b"\x00" * 498
    return b"\xff\xd8" + exif + b"\xff\xc0" + struct.pack(">HBHH", 17, 8, height, width) + b"\x00" * 12


PICTURES = {
    "png": png(640, 480),
    "jpeg": jpeg(640, 480),
    "gif": b"GIF89a" + struct.pack("<HH", 640, 480),
    "webp lossy": b"RIFF\x00\x00\x00\x00WEBPVP8 " + b"\x00" * 10 + struct.pack("<HH", 640, 480),
    "webp lossless": b"RIFF\x00\x00\x00\x00WEBPVP8L\x00\x00\x00\x00\x2f" + struct.pack("<I", 639 | 479 << 14),
    "webp extended": b"RIFF\x00\x00\x00\x00WEBPVP8X" + b"\x00" * 8 + b"\x7f\x02\x00" + b"\xdf\x01\x00",
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_pictures_size_is_read_from_its_first_bytes(kind: str) -> None:
    assert size_of(PICTURES[kind]) == (640, 480)
    for size in range(len(PICTURES[kind])):
        assert size_of(PICTURES[kind][:size]) in (None, (640, 480))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xff\xff", b"RIFF0000WEBP", b"%PDF-1.7", png(0, 5)])
def test_what_is_no_picture_has_no_size(data: bytes) -> None:
    assert size_of(data) is None


def pictured(data: bytes, detail: str | None = None) -> Image:
    return Image(source=Source(data=b64encode(data).decode(), media_type="image/png"), detail=detail)


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        # the makers' own examples
        ("gpt-4o", (1024, 1024), None, 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4.1-mini", (1024, 1024), None, 1024 * 1.62),
        ("claude-sonnet-4-5", (200, 200), None, 53),
        ("claude-sonnet-4-5", (1000, 1000), None, 1333),
        ("claude-sonnet-4-5", (4000, 4000), None, 1600),
        ("gemini-2.5-flash", (384, 384), None, 258),
        ("gemini-2.5-flash", (960, 540), None, 258 * 6),
        ("gemini-3-pro", (960, 540), None, 1120),
    ],
)
def test_a_picture_is_as_many_tokens_as_its_models_maker_says(
    model: str, size: tuple[int, int], detail: str | None, tokens: float
) -> None:
    assert image_tokens(pictured(png(*size), detail), model) == pytest.approx(tokens, abs=1)


def test_what_cannot_be_seen_counts_all_the_same() -> None:
    address = Source(url="https://example.com/a")
    for model in ("gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash"):
        assert image_tokens(Image(source=address), model) > 100
        assert file_tokens(File(source=address), model) > 100
        assert audio_tokens(Audio(source=address), model) > 100
        assert video_tokens(Video(source=address), model) > 100
    assert image_tokens(Image(source=Source(data="%%%")), "gpt-4o") > 100


def test_a_document_counts_by_its_pages() -> None:
    three = b"%PDF-1.4 /Type /Pages /Type /Page x /Type/Page y /Type /Page"
    source = Source(data=b64encode(three).decode(), media_type="application/pdf")
    assert file_tokens(File(source=source), "gemini-2.5-flash") == 3 * 258
    text = Request(
        dialect="messages",
        model="m",
        messages=(Message(role="user", parts=(File(source=Source(text="word " * 500, media_type="text/plain")),)),),
    )
    assert 400 < estimate(text, "gpt-4o") < 700
