"""What the tests of processes share: a whole Portico, and a provider whose stream goes on when a test says so."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from portico.testing.running import PATIENCE, RunningPortico

KEY = "sk-held-upstream-0001"


class HeldProvider:
    """A chat provider on loopback. A stream sends one event, and the rest once `release` is set."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.streaming = threading.Semaphore(0)
        held = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
                if not asked.get("stream"):
                    message = {"role": "assistant", "content": "whole"}
                    self._whole({"object": "chat.completion", "choices": [{"message": message}], "usage": usage})
                    return
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                self.end_headers()
                try:
                    self._event({"choices": [{"index": 0, "delta": {"content": "begun"}}]})
                    held.streaming.release()
                    held.release.wait(PATIENCE)
                    self._event({"choices": [{"index": 0, "delta": {"content": "ended"}, "finish_reason": "stop"}]})
                    self._event({"choices": [], "usage": usage})
                    self.wfile.write(b"data: [DONE]\n\n")
                except OSError:
                    pass  # the gateway hung up, which some tests are about
                self.close_connection = True

            def _whole(self, reply: Mapping[str, Any]) -> None:
                body = json.dumps(reply).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _event(self, event: Mapping[str, Any]) -> None:
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def config(self, **more: Any) -> dict[str, Any]:
        """Return a configuration that has this provider as `held`."""
        url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        return {"providers": {"held": {"like": "openai", "base_url": url, "api_key": KEY, "models": ["m"]}}, **more}

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def held() -> Iterator[HeldProvider]:
    provider = HeldProvider()
    yield provider
    provider.close()


class Callers:
    """Threads that call without a pause until the port is closed or they are told to stop; `failed` has what failed."""

    def __init__(
        self, portico: RunningPortico, request: Mapping[str, Any], *, keep_alive: bool, count: int = 4
    ) -> None:
        self.failed: list[str] = []
        self.answered = 0
        self.done = False
        self._address = portico.address
        self._body = json.dumps(request).encode()
        self._headers = {"authorization": f"Bearer {portico.master_key}", "content-type": "application/json"}
        if not keep_alive:
            self._headers["connection"] = "close"
        self._threads = [threading.Thread(target=self._call_on) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _call_on(self) -> None:
        connection = None
        while not self.done:
            if connection is None:
                connection = http.client.HTTPConnection(*self._address, timeout=PATIENCE)
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return
            try:
                connection.request("POST", "/v1/chat/completions", self._body, self._headers)
                reply = connection.getresponse()
                body = reply.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
                connection = None
                continue
            self.answered += 1
            if reply.status != 200:
                self.failed.append(f"{reply.status} {body.decode()}")
            if reply.will_close:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.fixture(params=[True, False], ids=["kept-alive", "a connection each"])
def calling(request, ask) -> Callable[[RunningPortico], Callers]:
    return lambda portico: Callers(portico, ask(), keep_alive=request.param)


@pytest.fixture
def ask() -> Callable[..., dict[str, Any]]:
    """Return a chat request for the held provider."""

    def request(*, stream: bool = False) -> dict[str, Any]:
        return {"model": "held/m", "stream": stream, "messages": [{"role": "user", "content": "hello"}]}

    return request
