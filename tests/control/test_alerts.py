"""Events are posted to the webhook, each in its turn, until it is taken."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from portico.config.handover import encode
from portico.config.load import load_plain
from portico.control.__main__ import NO_WEBHOOK
from portico.control.alerts import Undelivered, send_new
from portico.store.engine import writing
from portico.store.tables import events


class Hook:
    """Who takes events, with the status that a test says."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.status = 204
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if hook.status < 400:
                    hook.told.append(body)
                self.send_response(hook.status)
                self.end_headers()

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?token=planted"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.close()


def put(engine: Engine, *percents: int) -> None:
    with writing(engine).begin() as db:
        for percent in percents:
            about = json.dumps({"row": "team:red", "percent": percent})
            db.execute(insert(events).values(time_ms=1_800_000_000_000, name="budget.passed", about=about))


def test_what_is_new_is_posted_once_and_in_order(engine: Engine, hook: Hook) -> None:
    put(engine, 1)
    assert send_new(engine, hook.url) == 0, "what was before is not news"
    put(engine, 50, 80)
    assert send_new(engine, hook.url) == 2
    assert send_new(engine, hook.url) == 0
    assert [(one["name"], one["about"]["percent"]) for one in hook.told] == [
        ("budget.passed", 50),
        ("budget.passed", 80),
    ]


def test_what_is_not_taken_is_sent_again(engine: Engine, hook: Hook) -> None:
    send_new(engine, hook.url)
    put(engine, 50)
    hook.status = 500
    with pytest.raises(Undelivered, match="500"):
        send_new(engine, hook.url)
    hook.status = 200
    assert send_new(engine, hook.url) == 1


@pytest.mark.parametrize(("alerts", "quiet"), [({}, True), ({"webhook": "https://hooks.example/x"}, False)])
def test_that_no_webhook_is_given_shows_in_the_bytes_handed_over(alerts: Any, quiet: bool) -> None:
    config = load_plain({"providers": {"openai": {"api_key": "sk-nobody"}}, "alerts": alerts}, {}).config
    assert (NO_WEBHOOK in encode(config)) == quiet


def test_an_address_that_nobody_listens_at_is_in_no_error(engine: Engine, hook: Hook) -> None:
    send_new(engine, hook.url)
    put(engine, 50)
    with pytest.raises(Undelivered) as raised:
        send_new(engine, "http://127.0.0.1:1/hook?token=planted")
    assert "planted" not in str(raised.value)
