"""How Portico ends: calls in flight first, and at once when told twice."""

import http.client
import json
import os
import signal
import socket
import threading

import pytest

from portico.testing.running import PATIENCE, alive, eventually, running_portico


class Stream:
    """A streamed call in flight, read by a thread; `body` is whole once it has ended, `broken` says that it was cut."""

    def __init__(self, portico, held, request):
        self.connection = http.client.HTTPConnection(*portico.address, timeout=PATIENCE)
        headers = {"authorization": f"Bearer {portico.master_key}", "content-type": "application/json"}
        self.connection.request("POST", "/v1/chat/completions", json.dumps(request).encode(), headers)
        assert held.streaming.acquire(timeout=PATIENCE)
        self.body = b""
        self.broken = False
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        try:
            self.body = self.connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            self.broken = True
        self.connection.close()

    def end(self):
        self.thread.join(PATIENCE)
        return self


def closed(portico):
    """Whether nobody listens on the port any more."""
    with socket.socket() as probe:
        return probe.connect_ex(portico.address) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stream_in_flight_ends_before_portico_does(held, ask, number):
    with running_portico(held.config()) as portico:
        stream = Stream(portico, held, ask(stream=True))
        portico.process.send_signal(number)
        portico.errors.wait_for("stopping: calls in flight have 30 s")
        eventually(lambda: closed(portico), "new connections are refused")
        held.release.set()
        assert stream.end().body.endswith(b"data: [DONE]\n\n")
        assert portico.wait() == 0


def test_a_second_signal_cuts_what_is_in_flight(held, ask):
    with running_portico(held.config()) as portico:
        pids = [*portico.workers(), portico.control()]
        stream = Stream(portico, held, ask(stream=True))
        portico.process.send_signal(signal.SIGTERM)
        portico.errors.wait_for("stopping:")
        portico.process.send_signal(signal.SIGTERM)
        assert portico.wait() == 1
        assert stream.end().broken
        assert not any(alive(pid) for pid in pids)


def test_a_stream_is_cut_when_the_drain_is_over(held, ask):
    with running_portico(held.config(server={"drain": 0.2})) as portico:
        stream = Stream(portico, held, ask(stream=True))
        assert portico.stop() == 0
        assert stream.end().broken


def test_an_idle_portico_stops_with_its_kept_alive_connections():
    with running_portico() as portico:
        connection = http.client.HTTPConnection(*portico.address, timeout=PATIENCE)
        connection.request("GET", "/livez")
        connection.getresponse().read()
        assert portico.stop() == 0
        connection.close()


def test_a_worker_told_to_end_drains_and_is_replaced(held, ask):
    with running_portico(held.config(), arguments=["--workers", "1"]) as portico:
        (worker,) = portico.workers()
        stream = Stream(portico, held, ask(stream=True))
        os.kill(worker, signal.SIGTERM)
        held.release.set()
        assert stream.end().body.endswith(b"data: [DONE]\n\n")
        portico.errors.wait_for("worker 1 is back")
        assert portico.request("GET", "/livez")[0] == 200


def test_the_control_socket_is_removed_at_the_end():
    with running_portico() as portico:
        assert (portico.data_dir / "control.sock").exists()
        portico.stop()
        assert not (portico.data_dir / "control.sock").exists()


def test_no_call_fails_when_portico_stops(held, calling):
    with running_portico(held.config()) as portico:
        callers = calling(portico)
        eventually(lambda: callers.answered > 20, "calls are made")
        portico.process.send_signal(signal.SIGTERM)
        callers.join()
        assert portico.wait() == 0
    assert callers.failed == []


def test_no_call_fails_when_a_worker_is_told_to_end(held, calling):
    with running_portico(held.config()) as portico:
        callers = calling(portico)
        eventually(lambda: callers.answered > 20, "calls are made")
        os.kill(portico.workers()[0], signal.SIGTERM)
        portico.errors.wait_for("worker 1 is back")
        callers.done = True
        callers.join()
    assert callers.failed == []
