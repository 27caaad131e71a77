"""Turns that real clients sent one after another have one fingerprint, however their JSON is written."""

import gzip
import itertools
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portico.plan import conversation
from portico.plan.conversation import conversation_of
from portico.plan.facts import Facts

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "recordings"
FILE = Path(os.environ.get("PORTICO_RECORDINGS", BESIDE)) / "dev.jsonl.gz"
TALKS = ("messages", "contents", "input")
FIXED = (
    "model",
    "system",
    "instructions",
    "tools",
    "systemInstruction",
    "system_instruction",
    "functions",
    "toolConfig",
)


def fingerprint(body: dict[str, Any], separators: tuple[str, str]) -> int:
    written = json.dumps(body, separators=separators, ensure_ascii=False).encode()
    members = msgspec.json.decode(written, type=dict[str, msgspec.Raw])
    found = conversation_of(Facts("m", "chat", written, members), b"a secret")
    assert found is not None
    return found.id


def said(body: dict[str, Any]) -> list[Any]:
    return next((body[name] for name in TALKS if body.get(name)), [])


def recorded() -> Iterator[list[dict[str, Any]]]:
    """Yield the requests of each recorded file that have messages, in order."""
    files = defaultdict(list)
    with gzip.open(FILE) as lines:
        for line in lines:
            record = json.loads(line)
            body = (record.get("request") or {}).get("body")
            if (
                isinstance(body, dict)
                and isinstance(said(body), list)
                and said(body)
                and isinstance(said(body)[0], dict)
            ):
                files[record["source_repo"], record["source_path"]].append((record["source_index"], body))
    for each in files.values():
        yield [body for _, body in sorted(each, key=lambda pair: pair[0])]


def goes_on(first: dict[str, Any], later: dict[str, Any]) -> bool:
    before, after = said(first), said(later)
    return (
        [name for name in TALKS if name in first] == [name for name in TALKS if name in later]
        and len(after) > len(before)
        and after[: len(before)] == before
        and all(first.get(name) == later.get(name) for name in FIXED)
    )


@pytest.mark.skipif(not FILE.exists(), reason=f"no recordings at {FILE.parent}: set PORTICO_RECORDINGS")
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["compact", "spaced"])
def test_turns_of_recorded_conversations_have_one_fingerprint(
    separators: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "CACHEABLE", 0)
    pairs = questions = 0
    for bodies in recorded():
        for first, later in itertools.pairwise(bodies):
            if goes_on(first, later):
                pairs += 1
                assert fingerprint(first, separators) == fingerprint(later, separators), said(later)[:3]
            elif said(first)[0] != said(later)[0] and "user" in (
                said(first)[0].get("role"),
                said(later)[0].get("role"),
            ):
                questions += 1
                assert fingerprint(first, separators) != fingerprint(later, separators), said(later)[:1]
    assert pairs > 500
    assert questions > 100
