"""Objects at providers, over workers that die and a Portico that starts again."""

import json
import os
import signal
from pathlib import Path

from portico.testing.hosted import HostedMock
from portico.testing.running import RunningPortico, start_portico

LINES = b'{"custom_id": "1"}\n'
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n' + LINES + b"\r\n--b--\r\n"
)
WAYS = {"content-type": "multipart/form-data; boundary=b"}


def started(directory: Path, mock: HostedMock) -> RunningPortico:
    keys = ["sk-upstream-1", "sk-upstream-2", "sk-upstream-3"]
    config = {
        "providers": {"openai": {"base_url": f"{mock.url}/v1", "api_keys": keys}},
        "keys": {"alice": {"key": "sk-alice-0123456789"}, "bob": {"key": "sk-bob-0123456789"}},
    }
    portico = start_portico(directory, config, ["--workers", "2"], {})
    portico.url = portico.errors.wait_for("serves at").rpartition(" ")[2]
    return portico


def test_every_worker_knows_whose_a_file_is_and_so_does_the_next_start(tmp_path: Path) -> None:
    alice, bob = "sk-alice-0123456789", "sk-bob-0123456789"
    with HostedMock() as mock:
        portico = started(tmp_path, mock)
        try:
            made = []
            for _ in range(6):
                status, _, body = portico.request("POST", "/v1/files", FORM, WAYS, key=alice)
                assert status == 200, body
                made.append(json.loads(body)["id"])
            # Killed right after it told: what it told is known all the same.
            os.kill(portico.workers()[0], signal.SIGKILL)
            portico.errors.wait_for("is back")
            for name in made * 2:
                assert portico.request("GET", f"/v1/files/{name}/content", key=alice)[::2] == (200, LINES)
                assert portico.request("GET", f"/v1/files/{name}/content", key=bob)[0] == 404
        finally:
            portico.end()
        again = started(tmp_path, mock)
        try:
            listed = json.loads(again.request("GET", "/v1/files", key=alice)[2])
            assert [file["id"] for file in listed["data"]] == made[::-1]
            assert json.loads(again.request("GET", "/v1/files", key=bob)[2])["data"] == []
            for name in made:
                assert again.request("DELETE", f"/v1/files/{name}", key=alice)[0] == 200
            assert json.loads(again.request("GET", "/v1/files", key=alice)[2])["data"] == []
        finally:
            again.end()
