"""`portico mock` as a process."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

MOCK = [sys.executable, "-c", "from portico.cli.mock import command; command()"]


def test_it_prints_its_url_serves_and_sums_up(tmp_path: Path):
    record = tmp_path / "calls.jsonl"
    arguments = ["--port", "0", "--json", "--tokens", "7", "--key", "k1", "--price", "1", "2", "--record", str(record)]
    with subprocess.Popen([*MOCK, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello"}]}).encode()
        request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"authorization": "Bearer k1"})
        with urllib.request.urlopen(request) as reply:
            assert json.load(reply)["usage"]["completion_tokens"] == 7
        process.send_signal(signal.SIGTERM)
        totals = json.loads(process.stdout.readline())
        assert process.wait(20) == 0
    assert (totals["calls"], totals["output"], totals["cost"]) == (1, 7, 6 * 1000 + 7 * 2000)
    assert json.loads(record.read_text())["key"] == "k1"


def test_a_taken_port_and_a_wrong_control_have_their_exit_codes():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*MOCK, "--port", port], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 3
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    done = subprocess.run([*MOCK, "--say", "statsu=5"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert "did you mean 'status'" in done.stderr


def test_without_json_it_shows_how_each_sdk_is_pointed_at_it():
    with subprocess.Popen([*MOCK, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(12)]
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(20) == 0
    text = "".join(lines)
    for name in ("OpenAI(", "Anthropic(", "genai.Client(", "boto3.client(", "ClientV2(", "curl "):
        assert name in text
    assert "0 calls" in rest
