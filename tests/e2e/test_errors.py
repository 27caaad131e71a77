"""What each SDK raises when the gateway refuses a call, when a provider does, and when a reply breaks off."""

import anthropic
import cohere
import openai
import pytest
from botocore.exceptions import ClientError, EventStreamError
from google.genai import errors as gemini
from tests.e2e.callers import CALLERS, ToldOfAnError
from tests.e2e.front import KEY, NARROW, Front

pytestmark = pytest.mark.xdist_group("e2e-errors")

OPENAI = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    502: openai.InternalServerError,
    503: openai.InternalServerError,
}
RAISED = {
    "openai chat": OPENAI,
    "openai responses": OPENAI,
    "anthropic": {
        400: anthropic.BadRequestError,
        401: anthropic.AuthenticationError,
        403: anthropic.PermissionDeniedError,
        404: anthropic.NotFoundError,
        429: anthropic.RateLimitError,
        500: anthropic.InternalServerError,
        502: anthropic.InternalServerError,
        503: anthropic.ServiceUnavailableError,
    },
    "google-genai": {
        **dict.fromkeys((400, 401, 403, 404, 429), gemini.ClientError),
        **dict.fromkeys((500, 502, 503), gemini.ServerError),
    },
    "boto3": dict.fromkeys((400, 401, 403, 404, 429, 500, 502, 503), ClientError),
    "cohere": {
        400: cohere.BadRequestError,
        401: cohere.UnauthorizedError,
        403: cohere.ForbiddenError,
        404: cohere.NotFoundError,
        429: cohere.TooManyRequestsError,
        500: cohere.InternalServerError,
        502: cohere.core.ApiError,
        503: cohere.ServiceUnavailableError,
    },
}
BROKEN = {
    "openai chat": openai.APIError,
    "openai responses": openai.APIError,
    "anthropic": anthropic.APIStatusError,
    "google-genai": gemini.ServerError,
    "boto3": EventStreamError,
    "cohere": ToldOfAnError,
}
CODES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    500: "InternalServerException",
    502: "InternalServerException",
    503: "ServiceUnavailableException",
}

every_sdk = pytest.mark.parametrize("name", CALLERS)
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def fails(name, status, front, *, key=KEY, model=None, prompt="Hello", stream=False):
    """Make a call, see that the SDK raises what this status is to it; return the exception and the reply's headers."""
    caller = CALLERS[name]
    with pytest.raises(RAISED[name][status]) as caught:
        caller.call(front.url, key, model or caller.model, prompt, stream)
    assert caller.status(caught.value) == status
    if name == "boto3":
        assert caught.value.response["Error"]["Code"] == CODES[status]
    return caught.value, caller.headers(caught.value)


# the gateway's own


@every_sdk
@whole_and_streamed
def test_a_wrong_key(front: Front, name, stream):
    error, headers = fails(name, 401, front, key="sk-of-somebody-else", stream=stream)
    record = front.record(headers["x-request-id"])
    assert (record["status"], record["error"], record["key"]) == (401, "invalid_api_key", None)
    assert "sk-of-somebody-else" not in str(error)
    assert front.entries() == []


@every_sdk
def test_an_unknown_model(front: Front, name):
    error, headers = fails(name, 404, front, model="nobody/nothing")
    assert "nobody/nothing" in str(getattr(error, "body", error))
    assert front.record(headers["x-request-id"])["error"] == "model_not_found"
    assert front.entries() == []


@every_sdk
@whole_and_streamed
def test_a_model_that_the_key_may_not_use(front: Front, name, stream):
    _, headers = fails(name, 403, front, key=NARROW, model="openai/gpt-5.5", stream=stream)
    record = front.record(headers["x-request-id"])
    assert (record["error"], record["key"]) == ("permission_denied", "narrow")
    assert front.entries() == []


# the provider's


@every_sdk
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_what_a_provider_answers(front: Front, name, status):
    _, headers = fails(name, status, front, prompt=f"[mock status={status}]")
    assert headers["x-portico-target"] == CALLERS[name].target
    settled = front.settled(headers)
    assert (settled.record["status"], settled.record["error"]) == (status, "upstream_status")
    assert settled.record["basis"] == "none"
    assert [attempt["status"] for attempt in settled.record["attempts"]] == [status]
    assert settled.entry.outcome == "refused"


@every_sdk
@whole_and_streamed
def test_a_provider_says_when_to_come_again(front: Front, name, stream):
    _, headers = fails(name, 429, front, prompt="[mock status=429 retry_after=7]", stream=stream)
    assert headers["retry-after"] == "7"


def test_an_sdk_that_tries_again_by_itself_waits_and_gets_through(front: Front):
    prompt = [{"role": "user", "content": "[mock status=429 retry_after=0.01 first=2 tokens=9]"}]
    with openai.OpenAI(base_url=f"{front.url}/v1", api_key=KEY, max_retries=2) as client:
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=prompt)
    front.agrees(raw.headers, target="openai/gpt-4o-mini")
    assert [entry.status for entry in front.entries()] == [429, 429, 200]


# replies that break


NO_REPLY = ["cut-before-head", "cut-after-head", "wrong-type", "empty"]


@every_sdk
@pytest.mark.parametrize("fault", [*NO_REPLY, "cut-mid-chunk", "end-early"])
def test_a_whole_reply_that_is_none(front: Front, name, fault):
    _, headers = fails(name, 502, front, prompt=f"[mock fault={fault}]")
    record = front.record(headers["x-request-id"])
    assert record["error"] in ("upstream_connection_lost", "upstream_bad_reply")
    assert record["status"] == 502
    assert record["basis"] == "none"


@every_sdk
@pytest.mark.parametrize("fault", NO_REPLY)
def test_a_stream_that_never_begins(front: Front, name, fault):
    _, headers = fails(name, 502, front, prompt=f"[mock fault={fault}]", stream=True)
    assert front.record(headers["x-request-id"])["status"] == 502


FAULTS = ("cut-mid-stream", "cut-mid-chunk", "bad-chunk", "end-early", "error-mid-stream")
MID = [
    (name, fault)
    for name in CALLERS
    for fault in FAULTS
    # Gemini's streams have no end of their own: a body that ends as it should is taken for the whole. An error event
    # of the provider's is handed out by OpenAI's SDK for responses, which test_an_error_event_of_a_response sees.
    if (name, fault) not in (("google-genai", "end-early"), ("openai responses", "error-mid-stream"))
]


@pytest.mark.parametrize(("name", "fault"), MID)
def test_a_stream_that_breaks_in_the_middle(front: Front, name, fault):
    """The mock paces its chunks: a stream that broke before anything of it went on fails as a whole."""
    caller = CALLERS[name]
    with pytest.raises(BROKEN[name]) as caught:
        caller.call(front.url, KEY, caller.model, f"[mock tokens=20 fault={fault} at=6 pace=0.002]", True)
    assert not isinstance(caught.value, openai.APIConnectionError)  # it was told, not cut off
    record = front.of(front.mock.ledger.last)
    expected = {"error-mid-stream": "upstream_failed", "bad-chunk": "upstream_bad_reply"}
    assert record["error"] == expected.get(fault, "upstream_connection_lost")
    assert front.mock.ledger.last.outcome == "cut"


def test_an_error_event_of_a_response(front: Front):
    with openai.OpenAI(base_url=f"{front.url}/v1", api_key=KEY, max_retries=0) as client:
        stream = client.responses.create(
            model="gpt-4o-mini", input="[mock tokens=20 fault=error-mid-stream at=6]", stream=True
        )
        last = list(stream)[-1]
    assert (last.type, last.code) == ("error", "server_error")
    assert front.of(front.mock.ledger.last)["error"] == "upstream_failed"


@every_sdk
def test_what_came_before_the_break_was_used(front: Front, name):
    """A stream that broke is charged for what it had brought, and for its input as its provider said it, if it did."""
    caller = CALLERS[name]
    with pytest.raises(BROKEN[name]):
        caller.call(front.url, KEY, caller.model, "[mock tokens=20 fault=cut-mid-stream at=6 pace=0.002]", True)
    record = front.of(front.mock.ledger.last)
    assert record["basis"] == "counted"
    if name in ("anthropic", "google-genai"):
        assert record["usage"]["input"] == front.mock.ledger.last.whole.input
    assert record["usage"]["input"] > 0
    assert record["usage"]["output"] > 0
