"""Errors as the providers' own SDKs read them: each raises the exception that its users catch."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import boto3
import botocore.config
import botocore.exceptions
import cohere
import httpx
import openai
import pytest
from cohere.core.api_error import ApiError
from google import genai
from google.genai import errors as google_errors

from portico.dialects.errors import render_error, render_stream_error
from portico.errors import ConnectionLost, ModelNotFound, PorticoError
from portico.framing import eventstream
from portico.types import Dialect

SAID = "not today: 'é'"
STATUSES = (400, 401, 403, 404, 413, 429, 500, 502, 503, 504, 529)


def refusal(status: int, **more: Any) -> PorticoError:
    kind = type("Refused", (PorticoError,), {"status": status, "code": f"code_{status}"})
    return kind(SAID, **more)


class Provider:
    """A server on this machine that answers every request with what it was last told to."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response_only(provider.status)
                for name, value in provider.headers:
                    self.send_header(name.decode(), value.decode("latin-1"))
                self.send_header("x-request-id", "call-7")
                self.send_header("content-length", str(len(provider.body)))
                self.end_headers()
                self.wfile.write(provider.body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def refuse(self, dialect: Dialect, error: PorticoError) -> None:
        self.status, self.headers, self.body = render_error(dialect, error, "call-7")

    def break_off(self, content_type: bytes, body: bytes) -> None:
        self.status, self.headers, self.body = 200, [(b"content-type", content_type)], body


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    found = Provider()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def ask_openai(url: str, *, stream: bool = False) -> None:
    with openai.OpenAI(api_key="k", base_url=url + "/v1", max_retries=0) as client:
        reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=stream)
        for _ in reply:
            pass


def ask_responses(url: str, *, stream: bool = False) -> None:
    with openai.OpenAI(api_key="k", base_url=url + "/v1", max_retries=0) as client:
        for _ in client.responses.create(model="m", input="x", stream=stream):
            pass


def ask_anthropic(url: str, *, stream: bool = False) -> None:
    with anthropic.Anthropic(api_key="k", base_url=url, max_retries=0) as client:
        said: Any = [{"role": "user", "content": "x"}]
        for _ in client.messages.create(model="m", max_tokens=1, messages=said, stream=stream):
            pass


def ask_google(url: str, *, stream: bool = False) -> None:
    client = genai.Client(api_key="k", http_options={"base_url": url})
    try:
        if stream:
            for _ in client.models.generate_content_stream(model="m", contents="x"):
                pass
        else:
            client.models.generate_content(model="m", contents="x")
    finally:
        client.close()


def ask_bedrock(url: str, *, stream: bool = False) -> None:
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="k",
        aws_secret_access_key="s",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )
    said: Any = [{"role": "user", "content": [{"text": "x"}]}]
    try:
        if stream:
            for _ in client.converse_stream(modelId="m", messages=said)["stream"]:
                pass
        else:
            client.converse(modelId="m", messages=said)
    finally:
        client.close()


def ask_cohere(url: str, *, stream: bool = False) -> list[Any]:
    said: Any = [{"role": "user", "content": "x"}]
    with httpx.Client() as connections:
        client = cohere.ClientV2(api_key="k", base_url=url, httpx_client=connections, max_retries=0)
        if stream:
            return list(client.chat_stream(model="m", messages=said))
        client.chat(model="m", messages=said)
    return []


OPENAI: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
}
ANTHROPIC: dict[int, type[anthropic.APIStatusError]] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: anthropic.RequestTooLargeError,
    429: anthropic.RateLimitError,
    503: anthropic.ServiceUnavailableError,
    504: anthropic.DeadlineExceededError,
    529: anthropic.OverloadedError,
}
COHERE: dict[int, type[ApiError]] = {
    400: cohere.BadRequestError,
    401: cohere.UnauthorizedError,
    403: cohere.ForbiddenError,
    404: cohere.NotFoundError,
    413: ApiError,
    429: cohere.TooManyRequestsError,
    500: cohere.InternalServerError,
    502: ApiError,
    503: cohere.ServiceUnavailableError,
    504: cohere.GatewayTimeoutError,
    529: ApiError,
}
GOOGLE = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
BEDROCK = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    413: "ValidationException",
    429: "ThrottlingException",
    500: "InternalServerException",
    502: "InternalServerException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
    529: "ServiceUnavailableException",
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(("dialect", "ask"), [("chat", ask_openai), ("responses", ask_responses)])
def test_openai_s_sdk_raises_its_own(
    provider: Provider, dialect: Dialect, ask: Callable[[str], None], status: int
) -> None:
    provider.refuse(dialect, refusal(status, param="messages", retry_after=2.1))
    with pytest.raises(openai.APIStatusError) as caught:
        ask(provider.url)
    error = caught.value
    assert type(error) is OPENAI.get(status, openai.InternalServerError)
    assert (error.status_code, error.code, error.param) == (status, f"code_{status}", "messages")
    assert error.request_id == "call-7"
    assert error.response.headers["retry-after"] == "3"
    assert isinstance(error.body, dict)
    assert error.body["message"] == SAID


@pytest.mark.parametrize("status", STATUSES)
def test_anthropic_s_sdk_raises_its_own(provider: Provider, status: int) -> None:
    provider.refuse("messages", refusal(status, retry_after=0))
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask_anthropic(provider.url)
    error = caught.value
    assert type(error) is ANTHROPIC.get(status, anthropic.InternalServerError)
    assert (error.status_code, error.request_id) == (status, "call-7")
    assert error.response.headers["retry-after"] == "0"
    assert isinstance(error.body, dict)
    assert error.body["error"]["message"] == SAID
    assert error.body["request_id"] == "call-7"


@pytest.mark.parametrize("status", STATUSES)
def test_google_s_sdk_raises_its_own(provider: Provider, status: int) -> None:
    provider.refuse("gemini", refusal(status, param="contents", retry_after=2.5))
    kind = google_errors.ClientError if status < 500 else google_errors.ServerError
    with pytest.raises(kind) as caught:
        ask_google(provider.url)
    assert (caught.value.code, caught.value.status, caught.value.message) == (status, GOOGLE[status], SAID)
    details = {detail["@type"].rpartition(".")[2]: detail for detail in caught.value.details["error"]["details"]}
    assert details["ErrorInfo"]["reason"] == f"CODE_{status}"
    assert details["RequestInfo"]["requestId"] == "call-7"
    assert details["RetryInfo"]["retryDelay"] == "2.5s"


@pytest.mark.parametrize("status", STATUSES)
def test_amazon_s_sdk_raises_its_own(provider: Provider, status: int) -> None:
    provider.refuse("converse", refusal(status))
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        ask_bedrock(provider.url)
    reply = caught.value.response
    assert (reply["Error"]["Code"], reply["Error"]["Message"]) == (BEDROCK[status], SAID)
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == status
    assert reply["ResponseMetadata"]["RequestId"] == "call-7"
    # All but one are exceptions that the client itself names.
    named = type(caught.value).__name__
    assert named == ("ClientError" if status == 401 else BEDROCK[status])


@pytest.mark.parametrize("status", STATUSES)
def test_cohere_s_sdk_raises_its_own(provider: Provider, status: int) -> None:
    provider.refuse("cohere", refusal(status))
    with pytest.raises(ApiError) as caught:
        ask_cohere(provider.url)
    assert type(caught.value) is COHERE[status]
    assert caught.value.status_code == status
    assert caught.value.body == {"message": SAID, "id": "call-7"}


SSE = b"text/event-stream"


@pytest.mark.parametrize(("dialect", "ask"), [("chat", ask_openai), ("responses", ask_responses)])
def test_openai_s_sdk_raises_at_an_error_in_a_stream(
    provider: Provider, dialect: Dialect, ask: Callable[..., None]
) -> None:
    provider.break_off(SSE, render_stream_error(dialect, ConnectionLost(SAID), "call-7"))
    with pytest.raises(openai.APIError) as caught:
        ask(provider.url, stream=True)
    assert caught.value.message == SAID
    assert caught.value.code == "upstream_connection_lost"


def test_the_error_of_a_responses_stream_is_also_the_documented_event() -> None:
    event = render_stream_error("responses", refusal(429, param="input"), "")
    name, data = event.rstrip().split(b"\n")
    assert name == b"event: error"
    said = json.loads(data.removeprefix(b"data: "))
    assert {k: said[k] for k in ("type", "code", "message", "param")} == {
        "type": "error",
        "code": "code_429",
        "message": SAID,
        "param": "input",
    }


def test_anthropic_s_sdk_raises_at_an_error_in_a_stream(provider: Provider) -> None:
    provider.break_off(SSE, render_stream_error("messages", refusal(529), "call-7"))
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask_anthropic(provider.url, stream=True)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"] == {"type": "overloaded_error", "message": SAID}


@pytest.mark.parametrize("status", [429, 502])
def test_google_s_sdk_raises_at_an_error_in_a_stream(provider: Provider, status: int) -> None:
    provider.break_off(SSE, render_stream_error("gemini", refusal(status), "call-7"))
    kind = google_errors.ClientError if status < 500 else google_errors.ServerError
    with pytest.raises(kind) as caught:
        ask_google(provider.url, stream=True)
    assert caught.value.code == status
    assert SAID in str(caught.value)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "validationException"),
        (401, "validationException"),
        (429, "throttlingException"),
        (500, "internalServerException"),
        (502, "modelStreamErrorException"),
        (503, "serviceUnavailableException"),
        (504, "internalServerException"),
    ],
)
def test_amazon_s_sdk_raises_at_an_error_in_a_stream(provider: Provider, status: int, name: str) -> None:
    first = eventstream.encode(
        {":event-type": "messageStart", ":content-type": "application/json", ":message-type": "event"},
        b'{"role":"assistant"}',
    )
    body = first + render_stream_error("converse", refusal(status), "call-7")
    provider.break_off(b"application/vnd.amazon.eventstream", body)
    with pytest.raises(botocore.exceptions.EventStreamError) as caught:
        ask_bedrock(provider.url, stream=True)
    assert caught.value.response["Error"] == {"Code": name, "Message": SAID}


def test_cohere_s_sdk_gives_the_error_of_a_stream_as_its_end(provider: Provider) -> None:
    provider.break_off(SSE, render_stream_error("cohere", refusal(502), "call-7"))
    (end,) = ask_cohere(provider.url, stream=True)
    assert (end.type, end.delta.finish_reason, end.delta.error) == ("message-end", "ERROR", SAID)


@pytest.mark.parametrize("dialect", ["chat", "responses", "messages", "gemini", "converse", "cohere"])
def test_an_error_without_extras_is_plain(dialect: Dialect) -> None:
    status, headers, body = render_error(dialect, ModelNotFound("no model"), "")
    assert status == 404
    names = [name for name, _ in headers]
    assert names[0] == b"content-type"
    assert not {b"retry-after", b"request-id", b"x-amzn-requestid", b"x-request-id"} & set(names)
    assert b"no model" in body
    assert json.loads(body)


def test_openai_s_error_has_its_four_members() -> None:
    _, _, body = render_error("chat", ModelNotFound("no model", param="model"), "call-7")
    said = {"message": "no model", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    assert json.loads(body) == {"error": said}
