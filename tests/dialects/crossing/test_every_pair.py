"""Every recorded call crosses every pair of dialects: the whole of the proof, with its table of how many passed."""

from collections.abc import Callable, Iterable, Mapping

import pytest
from tests.dialects.crossing import pairs, proof
from tests.dialects.crossing.pairs import DIALECTS, PAIRS, Record
from tests.dialects.crossing.proof import Check

from portico.types import Dialect

pytestmark = [pytest.mark.prove, pytest.mark.timeout(3600)]

# How many there are at least of each dialect, so that none can go missing without notice.
REQUESTS: Mapping[Dialect, int] = {
    "chat": 2600, "responses": 900, "messages": 800, "gemini": 800, "converse": 260, "cohere": 80,
}  # fmt: skip
REPLIES: Mapping[Dialect, int] = {
    "chat": 1900, "responses": 600, "messages": 500, "gemini": 600, "converse": 220, "cohere": 60,
}  # fmt: skip
STREAMS: Mapping[Dialect, int] = {
    "chat": 900, "responses": 380, "messages": 320, "gemini": 250, "converse": 50, "cohere": 20,
}  # fmt: skip


def prove(
    capsys: pytest.CaptureFixture[str],
    title: str,
    recorded: Callable[[Dialect, Dialect], Iterable[Record]],
    check: Check,
    least: Callable[[Dialect, Dialect], int],
) -> None:
    """Check every recording at every pair, and show how many passed, of those that the table does not refuse."""
    lost: dict[str, list[str]] = {}
    shown: dict[tuple[str, str], str] = {}
    for caller, provider in PAIRS:
        kept = refused = 0
        for record in recorded(caller, provider):
            found = check(caller, provider, record)
            if found is None:
                refused += 1
            elif found:
                lost[f"{caller} to {provider}: {record['id']}"] = found
            else:
                kept += 1
        failed = sum(name.startswith(f"{caller} to {provider}:") for name in lost)
        seen = kept + failed
        assert seen + refused >= least(caller, provider), f"{caller} to {provider}: only {seen + refused} recordings"
        assert kept > refused, f"{caller} to {provider}: {refused} of {seen + refused} are refused"
        shown[caller, provider] = f"{100 * kept / seen:6.2f} % of {seen:4d}" + (
            f" -{refused:3d}" if refused else "     "
        )
    with capsys.disabled():
        print(f"\n{title} (caller below, provider beside; -n were refused by the table)")
        print(" " * 10 + "".join(f"{provider:>22}" for provider in DIALECTS))
        for caller in DIALECTS:
            print(f"{caller:<10}" + "".join(f"{shown[caller, provider]:>22}" for provider in DIALECTS))
    assert lost == {}


def test_every_recorded_request_says_to_every_provider_what_its_caller_said(capsys: pytest.CaptureFixture[str]) -> None:
    prove(
        capsys,
        "Requests",
        lambda caller, _: pairs.requests(caller),
        proof.request,
        lambda caller, _: REQUESTS[caller],
    )


def test_every_recorded_reply_says_to_every_caller_what_its_provider_said(capsys: pytest.CaptureFixture[str]) -> None:
    prove(
        capsys,
        "Replies",
        lambda _, provider: pairs.replies(provider),
        proof.reply,
        lambda _, provider: REPLIES[provider],
    )


def test_every_recorded_stream_says_to_every_caller_what_its_provider_said(capsys: pytest.CaptureFixture[str]) -> None:
    prove(
        capsys,
        "Streams",
        lambda _, provider: pairs.streams(provider),
        proof.every_cut_however_long,
        lambda _, provider: STREAMS[provider],
    )
