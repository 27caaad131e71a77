"""What goes on at the mock after a call: batches, fine-tuning jobs and background responses, which end when it is time.

The control `job` says after how many seconds, `ends` how; without it they go on until a test ends them
(`ObjectStore.end`). Each request of a batch is answered as a call with the same body would be.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from portico.dialects.jobs import ENDPOINTS
from portico.errors import InvalidRequest
from portico.testing.ask import CREATED, Request
from portico.types import Usage

Ends = Literal["completed", "failed", "cancelled", "expired"]
Answered = Callable[[str, Request], tuple[bytes, Usage]]
"""Answers a request of an operation: the body of the reply, and what it has used. Raises InvalidRequest."""

Stored = dict[str, Any]
WHEN = "2026-10-09T10:40:00Z"


class Pending(msgspec.Struct):
    """A job that goes on until `at` (None: until a test says so), and then ends as `ends` says."""

    finish: Callable[[Ends], None]
    at: float | None = None
    ends: Ends = "completed"


def batch_of_openai(stored: Stored, lines: bytes, put: Callable[[str, bytes], None], answered: Answered) -> Pending:
    """Return a batch that is to be run. `put` keeps a file by its id."""

    def finish(ends: Ends) -> None:
        if ends == "failed":
            stored.update(status="failed", failed_at=CREATED, errors={"object": "list", "data": []})
            return
        requests = [msgspec.json.decode(line) for line in lines.splitlines() if line.strip()]
        done = len(requests) if ends == "completed" else len(requests) // 2
        written, models, used, failed = [], set(), [0, 0, 0, 0], 0
        for number, request in enumerate(requests[:done]):
            told: Stored = {"id": f"batch_req_{number}", "custom_id": request.get("custom_id"), "error": None}
            try:
                body, usage = answered(ENDPOINTS[request["url"]], _request(request["url"], request["body"]))
            except (InvalidRequest, KeyError) as error:
                failed += 1
                written.append(told | {"response": {"status_code": 400, "body": {"error": {"message": str(error)}}}})
                continue
            models.add(request["body"].get("model"))
            used = [a + b for a, b in zip(used, _counts(usage), strict=True)]
            response = {"status_code": 200, "request_id": f"req_{number}", "body": msgspec.Raw(body)}
            written.append(told | {"response": response})
        stored["request_counts"] = {"total": len(requests), "completed": done - failed, "failed": failed}
        stored["status"] = ends
        stored[f"{ends}_at"] = CREATED
        if done > failed:
            stored["output_file_id"] = f"file-out-{stored['id']}"
            put(stored["output_file_id"], b"".join(msgspec.json.encode(line) + b"\n" for line in written))
            if len(models) == 1:
                stored["model"] = models.pop()
            stored["usage"] = {
                "input_tokens": used[0],
                "input_tokens_details": {"cached_tokens": used[1]},
                "output_tokens": used[2],
                "output_tokens_details": {"reasoning_tokens": used[3]},
                "total_tokens": used[0] + used[2],
            }

    return Pending(finish)


def batch_of_messages(
    stored: Stored, requests: list[Stored], results: str, put: Callable[[bytes], None], answered: Answered
) -> Pending:
    """Return a batch of Anthropic's that is to be run. `put` keeps its results, which are to be had at `results`."""

    def finish(ends: Ends) -> None:
        done = len(requests) if ends == "completed" else len(requests) // 2
        rest = {"cancelled": "canceled", "expired": "expired"}.get(ends, "errored")
        counts = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        written = []
        for number, request in enumerate(requests):
            result: Stored = {"type": rest}
            if number < done:
                try:
                    body, _ = answered("messages", _request("/v1/messages", request["params"]))
                    result = {"type": "succeeded", "message": msgspec.Raw(body)}
                except InvalidRequest as error:
                    told = {"type": "invalid_request_error", "message": error.message}
                    result = {"type": "errored", "error": {"type": "error", "error": told}}
            counts[result["type"]] += 1
            written.append(msgspec.json.encode({"custom_id": request.get("custom_id"), "result": result}) + b"\n")
        put(b"".join(written))
        stored.update(processing_status="ended", ended_at=WHEN, request_counts=counts, results_url=results)

    return Pending(finish)


def batch_of_gemini(name: str, model: str, asked: Stored) -> Stored:
    """Return a batch of Gemini's as it begins."""
    batch = asked.get("batch", {})
    told = {"model": f"models/{model}", "displayName": batch.get("displayName", ""), "createTime": WHEN}
    return {"name": name, "metadata": {**told, "updateTime": WHEN, "state": "BATCH_STATE_PENDING", "name": name}}


def batch_of_geminis(stored: Stored, asked: Stored, answered: Answered) -> Pending:
    """Return a batch of Gemini's that is to be run on the requests in its body."""

    def finish(ends: Ends) -> None:
        metadata = stored["metadata"]
        metadata["state"] = f"BATCH_STATE_{'SUCCEEDED' if ends == 'completed' else ends.upper()}"
        stored["done"] = True
        if ends != "completed":
            return
        requests = asked["batch"]["inputConfig"].get("requests", {}).get("requests", [])
        told: list[Stored] = []
        for request in requests:
            path = f"/v1beta/{metadata['model']}:generateContent"
            try:
                body, _ = answered("generate_content", _request(path, request["request"]))
                told.append({"response": msgspec.Raw(body)})
            except InvalidRequest as error:
                told.append({"error": {"code": 3, "message": error.message}})
        metadata["batchStats"] = {"requestCount": str(len(requests)), "successfulRequestCount": str(len(requests))}
        stored["response"] = {"inlinedResponses": {"inlinedResponses": told}}
        metadata["output"] = stored["response"]

    return Pending(finish)


def tuning(stored: Stored, content: bytes) -> Pending:
    """Return a fine-tuning job that is to be run on a file."""

    def finish(ends: Ends) -> None:
        stored["status"] = "succeeded" if ends == "completed" else "cancelled" if ends == "cancelled" else "failed"
        stored["finished_at"] = CREATED
        if ends == "completed":
            stored["trained_tokens"] = len(content) // 4
            stored["fine_tuned_model"] = f"ft:{stored.get('model')}:mock"

    return Pending(finish)


def response(stored: Stored, whole: Stored) -> Pending:
    """Return a background response, which is to become `whole`."""

    def finish(ends: Ends) -> None:
        if ends == "completed":
            stored.update(whole, background=True)
        else:
            stored.update(status="cancelled" if ends == "cancelled" else "failed", usage=None)

    return Pending(finish)


def in_background(whole: Stored) -> Stored:
    """Return a response as it stands while it goes on."""
    return whole | {"status": "queued", "background": True, "output": [], "usage": None}


def _request(path: str, body: Any) -> Request:
    return Request("POST", path, "", [(b"content-type", b"application/json")], msgspec.json.encode(body))


def _counts(usage: Usage) -> Iterator[int]:
    return iter((usage.input_total, usage.cache_read, usage.output_total, usage.reasoning))


def unanswered(operation: str, _request: Request) -> tuple[bytes, Usage]:
    """Refuse a request: there is no mock to answer it."""
    raise InvalidRequest(f"nobody answers {operation} here")
