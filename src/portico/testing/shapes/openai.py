"""OpenAI's endpoints beside chat: embeddings, moderations, images, audio; and rerank as compatible providers have it.

Source: platform.openai.com/docs/api-reference, read 2026-11. Rules of usage: heard audio is a token and a hundredth of
a second per `AUDIO_BYTES`, begun ones count; spoken audio is `AUDIO_FOR_TEXT` tokens for one of text; a generated
image is `IMAGE_TOKENS`.
"""

import struct
from base64 import b64encode
from typing import Any

import msgspec

from portico.errors import InvalidRequest
from portico.testing.ask import CREATED, Answer, Ask, Piece, Request, seed_of
from portico.testing.forms import fields
from portico.testing.shapes.chat import prompt_tokens, prompts
from portico.testing.shapes.cohere import ranked, read_ranking
from portico.testing.shapes.lines import JSON, TEXT, Shape, data, decoded, encode, poured, text_of, weigh
from portico.testing.shapes.vectors import vector, vector_base64
from portico.testing.words import MEDIA, tokens
from portico.types import Usage

DIMENSIONS = 1536
IMAGE_TOKENS = 1056
AUDIO_BYTES = 160
AUDIO_FOR_TEXT = 4  # audio tokens spoken for a token of text
_table = msgspec.json.Decoder(dict[str, Any])
# a picture of one grey point
PNG = b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
        "0000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
    )
).decode()
_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


# embeddings


def read_embeddings(request: Request, model: str | None) -> Ask:
    """Read an embeddings request."""
    body = decoded(_table, request.body)
    inputs = prompts(body.get("input"))
    if not inputs:
        raise InvalidRequest("Invalid 'input': expected a text, an array of texts, or tokens.", param="input")
    first = inputs[0]
    return Ask(
        model=str(body.get("model") or model or ""),
        prompt=first if isinstance(first, str) else "",
        input=sum(prompt_tokens(each) for each in inputs),
        n=0,
        body={**body, "all": [each if isinstance(each, str) else str(each) for each in inputs]},
    )


def whole_embeddings(ask: Ask, answer: Answer) -> bytes:
    """Write embeddings as floats or base64."""
    size = int(ask.body.get("dimensions") or DIMENSIONS)
    written = vector_base64 if ask.body.get("encoding_format") == "base64" else vector
    reply: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": written(text, size)}
            for index, text in enumerate(ask.body["all"])
        ],
        "model": ask.model,
    }
    if not answer.silent:
        reply["usage"] = {"prompt_tokens": ask.input, "total_tokens": ask.input}
    return encode(reply)


# moderations


def read_moderations(request: Request, model: str | None) -> Ask:
    """Read a moderations request."""
    body = decoded(_table, request.body)
    given = body.get("input")
    parts = given if isinstance(given, list) else [given]
    texts = [part for part in parts if isinstance(part, str)] or [text_of(parts)[0]]
    named = str(body.get("model") or model or "omni-moderation-latest")
    return Ask(model=named, prompt=texts[0], n=0, body=texts)


def whole_moderations(ask: Ask, answer: Answer) -> bytes:
    """Write a judgement: a text that names a category's first word is flagged for it."""
    results = []
    for text in ask.body:
        found = {name: name.split("/")[0] in text.lower() for name in _CATEGORIES}
        results.append(
            {
                "flagged": any(found.values()),
                "categories": found,
                "category_scores": {name: 0.9 if hit else 0.0001 for name, hit in found.items()},
                "category_applied_input_types": {name: ["text"] if hit else [] for name, hit in found.items()},
            }
        )
    return encode({"id": answer.id("modr-"), "model": ask.model, "results": results})


# images


def read_images(request: Request, model: str | None) -> Ask:
    """Read an images request: JSON, or the form of an edit or a variation."""
    kind = request.header(b"content-type")
    body: dict[str, Any]
    media = 0
    if kind.startswith("multipart/"):
        form = fields(kind, request.body)
        media = sum(name.startswith("image") for name in form)
        body = {k: v.decode("utf-8", "replace") for k, v in form.items() if not k.startswith(("image", "mask"))}
    else:
        body = decoded(_table, request.body)
        media = len(body.get("images") or ())
    prompt = str(body.get("prompt") or "")
    named = str(body.get("model") or model or "")
    count, seen = int(body.get("n") or 1), MEDIA * media
    text = weigh(prompt, 0)
    counts = Usage(input=text, input_image=seen, output_image=count * IMAGE_TOKENS, images=count)
    return Ask(model=named, prompt=prompt, input=text + seen, n=0, counts=counts, body={**body, "count": count})


def whole_images(ask: Ask, answer: Answer) -> bytes:
    """Write pictures as base64, or as addresses when asked for."""
    counts, count = answer.usage, ask.body["count"]
    if ask.body.get("response_format") == "url":
        images = [{"url": f"https://images.example.com/{answer.seed:08x}-{place}.png"} for place in range(count)]
    else:
        images = [{"b64_json": PNG} for _ in range(count)]
    reply: dict[str, Any] = {"created": CREATED, "data": images}
    if not answer.silent:
        reply["usage"] = {
            "input_tokens": counts.input_total,
            "input_tokens_details": {"text_tokens": counts.input, "image_tokens": counts.input_image},
            "output_tokens": counts.output_total,
            "total_tokens": counts.total,
        }
    return encode(reply)


# audio


def read_speech(request: Request, model: str | None) -> Ask:
    """Read a request for speech."""
    body = decoded(_table, request.body)
    text = body.get("input")
    if not isinstance(text, str):
        raise InvalidRequest("Missing required parameter: 'input'.", param="input")
    named = str(body.get("model") or model or "")
    sse = body.get("stream_format") == "sse"
    made = AUDIO_FOR_TEXT * tokens(text)
    counts = Usage(input=tokens(text), output_audio=made, characters=len(text))
    return Ask(model=named, prompt=text, input=tokens(text), n=0, stream=sse, counts=counts, body=body)


_AUDIO = {"mp3": "mpeg", "opus": "ogg", "aac": "aac", "flac": "flac", "wav": "wav", "pcm": "pcm"}


def _spoken(ask: Ask) -> str:
    return str(ask.body.get("response_format") or "mp3")


def speech_type(ask: Ask) -> bytes:
    """Return the content type of the audio."""
    return b"audio/" + _AUDIO.get(_spoken(ask), "mpeg").encode()


def whole_speech(ask: Ask, answer: Answer) -> bytes:
    """Write audio: a hum, in a real header where the format has a simple one."""
    hum = bytes((seed_of(ask.prompt) + at) % 251 for at in range(AUDIO_BYTES)) * answer.usage.output_audio
    if _spoken(ask) == "wav":
        size = len(hum)
        form = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, 24000, 48000, 2, 16)
        return form + struct.pack("<4sI", b"data", size) + hum
    return b"ID3\x04\x00\x00\x00\x00\x00\x00" + hum if _spoken(ask) == "mp3" else hum


def stream_speech(ask: Ask, answer: Answer) -> list[Piece]:
    """Write audio as events."""
    audio = whole_speech(ask, answer)
    step = AUDIO_BYTES * 4
    pieces = [
        Piece(data(encode({"type": "speech.audio.delta", "audio": b64encode(audio[at : at + step]).decode()})))
        for at in range(0, len(audio), step)
    ]
    counts = answer.usage
    counted = {
        "input_tokens": counts.input,
        "output_tokens": counts.output_audio,
        "total_tokens": counts.total,
    }
    pieces.append(Piece(data(encode({"type": "speech.audio.done", "usage": counted}))))
    return pieces


def read_transcription(request: Request, model: str | None) -> Ask:
    """Read a request to write down audio."""
    form = fields(request.header(b"content-type"), request.body)
    if "file" not in form:
        raise InvalidRequest("Missing required parameter: 'file'.", param="file")
    said = {name: value.decode("utf-8", "replace") for name, value in form.items() if name != "file"}
    heard = -(-len(form["file"]) // AUDIO_BYTES)
    prompt = said.get("prompt", "")
    return Ask(
        model=said.get("model") or model or "",
        prompt=prompt,
        input=heard + tokens(prompt),
        stream=said.get("stream") == "true",
        counts=Usage(input=tokens(prompt), input_audio=heard, seconds=heard / 100),
        body={**said, "heard": heard},
    )


def transcription_type(ask: Ask) -> bytes:
    """Return the content type of a transcript."""
    plain = ask.body.get("response_format") in ("text", "srt", "vtt")
    return b"text/plain; charset=utf-8" if plain else JSON


def _transcription_usage(ask: Ask, answer: Answer) -> dict[str, Any]:
    heard = ask.body["heard"]
    if ask.model.startswith("whisper"):
        return {"type": "duration", "seconds": -(-heard // 100)}
    return {
        "type": "tokens",
        "input_tokens": ask.input,
        "input_token_details": {"text_tokens": ask.input - heard, "audio_tokens": heard},
        "output_tokens": answer.output,
        "total_tokens": ask.input + answer.output,
    }


def whole_transcription(ask: Ask, answer: Answer) -> bytes:
    """Write a transcript in the format asked for."""
    text = answer.choices[0].text
    form = ask.body.get("response_format")
    seconds = max(1, -(-ask.body["heard"] // 100))
    if form == "text":
        return text.encode() + b"\n"
    if form in ("srt", "vtt"):
        point = "," if form == "srt" else "."
        end = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}000"
        head = "1\n" if form == "srt" else "WEBVTT\n\n"
        return f"{head}00:00:00{point}000 --> {end}\n{text}\n\n".encode()
    reply: dict[str, Any] = {"text": text}
    if form == "verbose_json":
        segment = {
            "id": 0,
            "seek": 0,
            "start": 0.0,
            "end": float(seconds),
            "text": text,
            "tokens": [],
            "temperature": 0.0,
        }
        segment |= {"avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.0}
        reply |= {"task": "transcribe", "language": "english", "duration": float(seconds), "segments": [segment]}
    if not answer.silent:
        reply["usage"] = _transcription_usage(ask, answer)
    return encode(reply)


def stream_transcription(ask: Ask, answer: Answer) -> list[Piece]:
    """Write a transcript as events."""
    text = answer.choices[0].text
    pieces = list(poured({"type": "transcript.text.delta", "delta": TEXT}, text, answer.chunk))
    ended: dict[str, Any] = {"type": "transcript.text.done", "text": text}
    if not answer.silent:
        ended["usage"] = _transcription_usage(ask, answer)
    return [*pieces, Piece(data(encode(ended)))]


# rerank


def whole_rerank(ask: Ask, answer: Answer) -> bytes:
    """Write a ranking as Jina and OpenRouter do, or as Voyage does where its words were used: it costs tokens."""
    texts = ask.body["all"]
    shown = ask.body.get("return_documents")
    results = [
        {"index": index, "relevance_score": score, **({"document": {"text": texts[index]}} if shown else {})}
        for index, score in ranked(ask)
    ]
    name = "data" if "top_k" in ask.body or "truncation" in ask.body else "results"
    reply: dict[str, Any] = {"id": answer.id("rerank-"), "object": "list", "model": ask.model, name: results}
    if not answer.silent:
        reply["usage"] = {"prompt_tokens": ask.input, "total_tokens": ask.input}
    return encode(reply)


SHAPES = {
    "embeddings": Shape(read_embeddings, whole_embeddings),
    "moderations": Shape(read_moderations, whole_moderations),
    "images_generations": Shape(read_images, whole_images),
    "images_edits": Shape(read_images, whole_images),
    "images_variations": Shape(read_images, whole_images),
    "audio_speech": Shape(read_speech, whole_speech, stream_speech, whole_type=speech_type),
    "audio_transcriptions": Shape(
        read_transcription, whole_transcription, stream_transcription, whole_type=transcription_type
    ),
    "audio_translations": Shape(read_transcription, whole_transcription, whole_type=transcription_type),
    "rerank": Shape(read_ranking, whole_rerank),
}
