"""An independent, slow reader of usage: everything decoded, nothing shared with what it checks but the data."""

import base64
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from botocore.eventstream import EventStreamBuffer

Table = dict[str, Any]


def documents(record: Table) -> Iterator[Table]:
    """Yield every JSON object of a reply: the reply itself, or a stream's events in order."""
    response = record["response"]
    if "eventstream" in (response["headers"] or {}).get("content-type", "") or record["api"] == "converse_stream":
        buffer = EventStreamBuffer()
        buffer.add_data(base64.b64decode(response["body_b64"]))
        for event in buffer:
            document = json.loads(event.payload)
            yield json.loads(base64.b64decode(document["bytes"])) if "bytes" in document else document
        return
    text = response.get("body_text") or ""
    try:
        whole = json.loads(text, parse_float=Decimal)
    except ValueError:
        for line in text.splitlines():
            if line.startswith("data:"):
                try:
                    document = json.loads(line[5:], parse_float=Decimal)
                except ValueError:
                    continue
                if isinstance(document, dict):
                    yield document
        return
    yield from whole if isinstance(whole, list) else [whole]


def at(document: Any, *path: str) -> Any:
    """Follow a path of members; None where it ends early."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def last(found: Iterator[Any]) -> Table | None:
    """Return the last object with a count in it that is not 0, else the last with any."""
    tables = [each for each in found if isinstance(each, dict) and any(isinstance(v, int) for v in each.values())]
    return next((each for each in reversed(tables) if any(v for v in each.values() if isinstance(v, int))), None) or (
        tables[-1] if tables else None
    )


def result(total_in: int, total_out: int, cache_read: int = 0, **more: Any) -> Table:
    """Return a summary as the test compares it."""
    base: Table = {"in": total_in, "out": total_out, "read": cache_read, "cost": None, "seconds": 0.0, "images": 0}
    return base | more


def openai(usage: Table | None) -> Table | None:
    """Read OpenAI's usage object, and those like it."""
    if usage is None:
        return None
    p = usage.get("prompt_tokens") or usage.get("input_tokens") or 0
    c = usage.get("completion_tokens") or usage.get("output_tokens") or 0
    total = usage.get("total_tokens") or p + c
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    read = next(
        (
            v
            for v in (
                details.get("cached_tokens"),
                usage.get("cache_read_input_tokens"),
                usage.get("prompt_cache_hit_tokens"),
                usage.get("cached_tokens"),
                usage.get("num_cached_tokens"),
            )
            if v
        ),
        0,
    )
    if total - p - c and total - p - c == details.get("audio_tokens"):
        p = total - c
    if not p and not c:
        p = total
    cost = usage.get("cost")
    if isinstance(cost, dict):
        cost = cost["total_cost"]
    nano = round(Decimal(cost) * 10**9) if cost is not None else None
    if nano is not None and usage.get("is_byok"):
        nano += round(Decimal(at(usage, "cost_details", "upstream_inference_cost") or 0) * 10**9)
    if usage.get("cost_in_usd_ticks"):
        nano = round(Decimal(usage["cost_in_usd_ticks"]) / 10)
    read = min(read, p - min(details.get("cache_write_tokens") or 0, p))
    return result(p, total - p, read, cost=nano, seconds=float(usage.get("prompt_audio_seconds") or 0))


def anthropic(usages: list[Any]) -> Table | None:
    """Merge Anthropic's usage objects, and add what only `iterations` have."""
    merged: Table = {}
    for usage in usages:
        merged.update({k: v for k, v in (usage or {}).items() if v is not None})
    extra = [i for i in merged.get("iterations") or [] if i["type"] != "message"]

    def sum_of(name: str) -> int:
        return sum(each.get(name) or 0 for each in [merged, *extra])

    read = sum_of("cache_read_input_tokens")
    given = sum_of("input_tokens") + read + sum_of("cache_creation_input_tokens")
    return result(given, sum_of("output_tokens"), read) if merged else None


def google(usage: Table | None) -> Table | None:
    """Read a `usageMetadata` object."""
    if usage is None or not {"promptTokenCount", "totalTokenCount"} & usage.keys():
        return None

    def number(name: str) -> int:
        return usage.get(name) or 0

    given = number("promptTokenCount") + number("toolUsePromptTokenCount")
    out = number("candidatesTokenCount") + number("thoughtsTokenCount")
    if not given and not out:
        given = number("totalTokenCount")
    return result(given, out, number("cachedContentTokenCount"))


def aws(usage: Table | None) -> Table | None:
    """Read converse's usage object, or Nova's."""
    if usage is None:
        return None
    read = usage.get("cacheReadInputTokens") or usage.get("cacheReadInputTokenCount") or 0
    written = usage.get("cacheWriteInputTokens") or usage.get("cacheWriteInputTokenCount") or 0
    return result(usage.get("inputTokens", 0) + read + written, usage.get("outputTokens", 0), read)


def invoked(docs: list[Table], headers: dict[str, str]) -> Table | None:
    """Read what a model invoked on Bedrock used, by the makers' own names and Bedrock's."""
    nova = last(at(d, "usage") or at(d, "metadata", "usage") for d in docs)
    if nova and "inputTokens" in nova:
        return aws(nova)
    if nova and "prompt_tokens" in nova:
        return openai(nova)
    theirs = anthropic([u for d in docs for u in (at(d, "message", "usage"), at(d, "usage")) if u])
    if theirs and (theirs["in"] or theirs["out"]):
        return theirs
    metrics = last(at(d, "amazon-bedrock-invocationMetrics") for d in docs) or {
        "inputTokenCount": int(headers.get("x-amzn-bedrock-input-token-count", 0)),
        "outputTokenCount": int(headers.get("x-amzn-bedrock-output-token-count", 0)),
    }
    given, out = metrics["inputTokenCount"], metrics["outputTokenCount"]
    if not given and not out and docs:
        reply = docs[0]
        given = reply.get("inputTextTokenCount") or reply.get("prompt_token_count") or 0
        given = given or at(reply, "meta", "billed_units", "input_tokens") or 0
        out = reply.get("generation_token_count") or at(reply, "meta", "billed_units", "output_tokens") or 0
        out = out or sum(r["tokenCount"] for r in reply.get("results") or [] if "tokenCount" in r)
    return result(given, out) if given or out else None


def cohere(docs: list[Table]) -> Table | None:
    """Read Cohere's billed units."""
    found = [at(d, "usage") or at(d, "delta", "usage") or at(d, "meta") for d in docs]
    billed = last(at(f, "billed_units") for f in found)
    if billed is None:
        return openai(last(iter(found)))
    given = (billed.get("input_tokens") or 0) + (billed.get("image_tokens") or 0)
    return result(given, billed.get("output_tokens") or 0)


def media(docs: list[Table]) -> Table | None:
    """Read images and audio."""
    found = openai(last(at(d, "usage") for d in docs)) or result(0, 0)
    for document in docs:
        found["images"] = len(document.get("data") or [])
        seconds = at(document, "usage", "seconds") or document.get("duration") or 0
        if not found["in"]:
            found["seconds"] = float(seconds)
    return found if found != result(0, 0) else None


def slow(operation: str, record: Table) -> Table | None:
    """Return what a recorded call used, as `result` writes it."""
    docs = [document for document in documents(record) if isinstance(document, dict)]
    headers = {k.lower(): v for k, v in (record["response"]["headers"] or {}).items()}
    if operation in ("chat", "completions", "embeddings", "moderations"):
        return openai(last(u for d in docs for u in (at(d, "x_groq", "usage"), at(d, "usage"))))
    if operation == "responses":
        return openai(last(u for d in docs for u in (at(d, "response", "usage"), at(d, "usage"))))
    if operation == "messages":
        return anthropic([u for d in docs for u in (at(d, "message", "usage"), at(d, "usage")) if u])
    if operation in ("generate_content", "stream_generate_content", "embed_content", "batch_embed_contents"):
        return google(last(at(d, "usageMetadata") for d in docs))
    if operation in ("converse", "converse_stream"):
        return aws(last(at(d, "usage") for d in docs))
    if operation in ("invoke", "invoke_stream"):
        return invoked(docs, headers)
    if operation in ("cohere_chat", "cohere_embed", "cohere_rerank", "rerank"):
        return cohere(docs)
    if operation.startswith(("images", "audio_tr")):
        return media(docs)
    return None
