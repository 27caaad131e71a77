"""What the load generator is told, and what is read of what it says."""

import contextlib
import shutil
import socket
import threading
from pathlib import Path

import pytest

from bench import wrk

SAID = (
    "Running 2s test\n  1 threads and 64 connections\n"
    'BENCH {"requests":2000,"microseconds":2500000,"connect":1,"read":2,"write":3,"status":4,"timeout":5,'
    '"p50":118,"p99":1630,"max":9000}\n'
)


def test_a_result_is_read_from_its_line():
    load = wrk.parse(SAID)
    assert load == wrk.Load(requests=2000, seconds=2.5, failed=15, p50=118, p99=1630, max=9000)
    assert load.rate == 800


def test_no_result_is_a_failure_that_shows_what_was_said():
    with pytest.raises(wrk.LoadFailed, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused")


def test_the_script_sends_the_file_and_every_header_quoted():
    script = wrk.script(Path("/tmp/a body.json"), {"Authorization": 'Bearer "x"'})
    assert 'io.open("/tmp/a body.json", "rb")' in script
    assert 'wrk.headers["Authorization"] = "Bearer \\"x\\""' in script


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize("keys", [None, ("sk-%05d", 3)], ids=["one key", "keys in turn"])
def test_what_is_sent_has_its_headers_in_one_order_and_the_keys_in_turn(
    tmp_path: Path, keys: tuple[str, int] | None
) -> None:
    body, lua = tmp_path / "body.json", tmp_path / "script.lua"
    body.write_bytes(b'{"model":"m"}')
    lua.write_text(wrk.script(body, {"Content-Type": "application/json", "Authorization": "Bearer sk"}, keys))
    heard: set[bytes] = set()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        answering = threading.Thread(target=_answer, args=(listener, heard))
        answering.start()
        load = wrk.run(f"http://127.0.0.1:{port}/v1/chat", lua, connections=1, seconds=1, prefix=[])
        answering.join(10)
    assert load.requests > 3
    assert load.failed == 0
    assert heard == {
        f"POST /v1/chat HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f'Authorization: Bearer {key}\r\nContent-Length: 13\r\n\r\n{{"model":"m"}}'.encode()
        for key in (["sk"] if keys is None else ["sk-00001", "sk-00002", "sk-00003"])
    }


def _answer(listener: socket.socket, heard: set[bytes]) -> None:
    """Answer what comes on the second connection, and keep it: wrk tries with the first whether there is anybody."""
    listener.accept()[0].close()
    connection = listener.accept()[0]
    with connection, contextlib.suppress(ConnectionError):  # it does not wait for its last reply
        while data := connection.recv(65536):
            heard.add(data)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def test_an_idle_load_has_no_rate():
    assert wrk.Load(requests=0, seconds=0.0, failed=0, p50=0, p99=0, max=0).rate == 0
