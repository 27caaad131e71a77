"""Control answers what is in its table and nothing else."""

import json

import pytest
from starlette.testclient import TestClient

from portico import __version__
from portico.control.app import ROUTES, make_app

OPEN_TO_STRANGERS = {"/api/v1/health", "/api/v1/version"}


async def answer(method, path):
    """Send one request to the application; return status, headers and the body as JSON."""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"control")],
        "server": ("control", 80),
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await make_app()(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(body) if body else None


def test_every_route_is_one_that_was_meant_to_be_open():
    assert {route.path for route in ROUTES} == OPEN_TO_STRANGERS


async def test_health_says_how_long():
    status, _, body = await answer("GET", "/api/v1/health")
    assert status == 200
    assert body["status"] == "ok"
    assert body["uptime_s"] >= 0


async def test_the_version_is_the_package_s():
    assert await answer("GET", "/api/v1/version") == (
        200,
        {b"content-length": b"36", b"content-type": b"application/json"},
        {"name": "portico", "version": __version__},
    )


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1/health/", "//api/v1/health", "/api/v1/../v1/health", "/docs", "/openapi.json"]
)
async def test_everything_else_does_not_exist(path):
    status, headers, body = await answer("GET", path)
    assert status == 404
    problem = path.startswith("/api/v1/")
    assert headers[b"content-type"] == (b"application/problem+json" if problem else b"application/json")
    assert (body if problem else body["error"])["code"] == "not_found"


def test_what_does_not_exist_is_told_in_the_words_of_the_client():
    with TestClient(make_app()) as client:
        google = client.post("/v1beta/corpora", json={})
        anthropic = client.post("/v1/skills", json={}, headers={"anthropic-version": "2023-06-01"})
        openai = client.post("/v1/assistants", json={})
    assert [reply.status_code for reply in (google, anthropic, openai)] == [404, 404, 404]
    assert google.json()["error"]["status"] == "NOT_FOUND"
    assert google.json()["error"]["code"] == 404
    assert anthropic.json()["type"] == "error"
    assert anthropic.json()["error"]["type"] == "not_found_error"
    assert openai.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("path", "where", "instead"),
    [
        ("/v1/chat", ("message",), "`ClientV2`"),  # cohere.Client
        ("/chat", ("message",), "/v2/chat"),
        ("/v1/embed", ("message",), "/v2/embed"),
        ("/v1/complete", ("error", "message"), "/v1/messages"),  # anthropic.completions
    ],
)
def test_what_came_before_an_api_that_is_served_names_it(path, where, instead):
    with TestClient(make_app()) as client:
        reply = client.post(path, json={"model": "m", "message": "Hello"})
    told = reply.json()
    for name in where:
        told = told[name]
    assert reply.status_code == 404
    assert f"POST {path} does not exist here" in told
    assert instead in told


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/v1/messages/nothing", ("error", "message")),
        ("/v1/messages", ("error", "message")),
        ("/model/a%2Fb/converse", ("message",)),
        ("/model/a/invoke-async", ("message",)),
        ("/v2/chat", ("message",)),
        ("/v1/chat/nothing", ("error", "message")),
        ("/model/new", ("error", "message")),  # LiteLLM's
    ],
)
def test_what_is_not_there_is_told_in_the_words_of_whom_the_path_belongs_to(path, where):
    with TestClient(make_app()) as client:
        reply = client.put(path)
    told = reply.json()
    assert ("type" in told) is path.startswith("/v1/messages"), "Anthropic's errors say that they are"
    for name in where:
        told = told[name]
    assert reply.status_code == 404
    assert "does not exist here" in told


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
async def test_a_method_that_a_route_does_not_take_is_named(method):
    status, headers, body = await answer(method, "/api/v1/health")
    assert status == 405
    assert method in body["detail"]
    assert b"GET" in headers[b"allow"]
