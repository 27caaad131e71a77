"""Requests that real programs sent to real providers: the mock reads every one of them and has an answer."""

import gzip
import json
import os
from pathlib import Path

import pytest

from portico.testing.ask import Request, answer
from portico.testing.controls import PLAIN
from portico.testing.mock import _read
from portico.testing.routes import route
from portico.testing.shapes import SHAPES

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "recordings"
FILE = Path(os.environ.get("PORTICO_RECORDINGS", BESIDE)) / "dev.jsonl.gz"
OTHER_BODIES = {"invoke", "invoke_stream"}  # those that are not Anthropic's are refused, and said to be
NOT_OPENAI = {"embeddings_native"}  # another API on a path that ends alike


@pytest.mark.skipif(not FILE.exists(), reason=f"no recordings at {FILE.parent}: set PORTICO_RECORDINGS")
def test_recorded_requests_are_read_and_answered():
    answered = 0
    with gzip.open(FILE, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            sent = record["request"]
            found = route(sent["method"], sent["path"])
            if found is None or found.operation not in SHAPES or record.get("response_only"):
                continue
            if sent.get("body_b64") or sent["body"] is None or record["response"]["status"] != 200:
                continue
            body = json.dumps(sent["body"]).encode()
            if found.operation in OTHER_BODIES and b'"anthropic_version"' not in body:
                continue
            if record["api"] in NOT_OPENAI:
                continue
            request = Request(sent["method"], sent["path"], sent.get("query") or "", [], body)
            shape = SHAPES[found.operation]
            ask = _read(shape, request, found.model)
            said = answer(ask, PLAIN)
            if ask.stream and shape.stream is not None:
                pieces = shape.stream(ask, said)
                assert sum(piece.output for piece in pieces) == said.output, record["id"]
            else:
                assert shape.whole(ask, said), record["id"]
            answered += 1
    assert answered > 5000
