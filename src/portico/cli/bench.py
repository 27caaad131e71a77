"""`portico bench`: a load on a running gateway; in a checkout, without an address, the comparison with its peers."""

import asyncio
import importlib
import json
import os
import sys
from pathlib import Path
from typing import BinaryIO, NoReturn

import click
import msgspec

from portico.cli.load import Outcome, Plan, Times, drive
from portico.errors import ConfigError
from portico.wire.client import Deadlines, Settings, split_url

CHECKOUT = Path(__file__).resolve().parents[3]
"""Where the sources of the comparison are, when this runs from them."""

ENDS = {"completions": b"[DONE]", "messages": b"message_stop"}
"""What a whole stream ends with, by the last word of its path; of others the end of the body is the end."""

PROMPT = "Say in two sentences how water was brought to the town."


@click.command(name="bench")
@click.argument("url", required=False)
@click.option("--key", envvar="PORTICO_KEY", help="The gateway's key. [$PORTICO_KEY]")
@click.option("--model", "-m", help="The model to ask for.")
@click.option(
    "--concurrency", "-c", type=click.IntRange(1, 16_384), default=16, show_default=True, help="Calls at once."
)
@click.option(
    "--duration", "-d", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds to begin calls for."
)
@click.option("--calls", "-n", type=click.IntRange(1), help="Stop after this many calls, even if time is left.")
@click.option("--stream", is_flag=True, help="Ask for streams.")
@click.option("--prompt", default=PROMPT, help="What the user says.")
@click.option("--max-tokens", type=click.IntRange(1), default=64, show_default=True, help="Bound of each answer.")
@click.option("--body", type=click.File("rb"), help="Send this JSON instead (with its own model and stream).")
@click.option("--path", default="/v1/chat/completions", show_default=True, help="Where to send it.")
@click.option("--timeout", type=click.FloatRange(0.1), default=120.0, show_default=True, help="Seconds for one call.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False), help="PEM bundle to trust instead of the system's.")
@click.option("--quick", is_flag=True, help="Comparison: in about two minutes.")
@click.option("--only", metavar="NAMES", help="Comparison: these subjects alone, by comma.")
@click.option("--soak", is_flag=True, help="Comparison: a million calls and 20,000 broken ones, for memory.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    *,
    url: str | None,
    key: str | None,
    model: str | None,
    concurrency: int,
    duration: float,
    calls: int | None,
    stream: bool,
    prompt: str,
    max_tokens: int,
    body: BinaryIO | None,
    path: str,
    timeout: float,
    ca: str | None,
    quick: bool,
    only: str | None,
    soak: bool,
    as_json: bool,
) -> None:
    """Measure a running gateway: calls a second, latency, time to the first byte, errors.

    \b
      portico mock &
      portico bench http://127.0.0.1:4000 --key KEY --model MODEL -c 64 -d 10

    Every call is real and may cost money: aim it at a model that `portico mock` serves, or count the calls with -n.

    Without URL, in a checkout of the sources, it compares Portico with nginx, LiteLLM and Portkey on this machine.

    Exit codes: 0 all calls were good; 1 some were not; 2 the command line is wrong; 3 something needed is missing.
    """
    if url is None:
        _compare(quick=quick, only=only, soak=soak, as_json=as_json)
    if quick or only or soak:
        raise click.UsageError("--quick, --only and --soak belong to the comparison, which takes no URL")
    sent = body.read() if body is not None else _request(model, prompt, max_tokens, stream=stream)
    streamed = stream if body is None else _streams(sent)
    plan = plan_of(url, path, key, sent, concurrency, duration, calls, timeout, ca, streamed=streamed)
    done = _run(plan)
    click.echo(msgspec.json.encode(done).decode() if as_json else told(done, plan))
    raise SystemExit(0 if done.good and not done.faults else 1)


def _compare(*, quick: bool, only: str | None, soak: bool, as_json: bool) -> NoReturn:
    """Become the comparison, so that a signal reaches what has programs to stop."""
    program = CHECKOUT / "bench" / "run.py"
    if not program.is_file():
        raise click.UsageError("give the URL of a gateway; the comparison with peers needs a checkout of the sources")
    chosen = [("--quick", quick), ("--soak", soak), ("--json", as_json)]
    options = [name for name, wanted in chosen if wanted]
    options += ["--only", only] if only else []
    os.execv(sys.executable, [sys.executable, str(program), *options])  # noqa: S606  # our own file


def _request(model: str | None, prompt: str, max_tokens: int, *, stream: bool) -> bytes:
    if not model:
        raise click.UsageError("name a model with --model, or give the whole request with --body")
    asked: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
    }
    return json.dumps(asked | ({"stream": True} if stream else {})).encode()


def _streams(body: bytes) -> bool:
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="--body") from None
    return isinstance(asked, dict) and asked.get("stream") is True


def plan_of(
    url: str,
    path: str,
    key: str | None,
    body: bytes,
    at_once: int,
    seconds: float,
    calls: int | None,
    timeout: float,
    ca: str | None,
    *,
    streamed: bool,
) -> Plan:
    """Return the plan that the command line asks for. `url` may hold a path, and the `/v1` that SDKs want."""
    base = url.rstrip("/")
    if path.startswith("/v1/"):
        base = base.removesuffix("/v1")
    try:
        origin, target = split_url(base + path)
    except ConfigError as error:
        raise click.BadParameter(error.message, param_hint="URL") from None
    if key is not None and not (key.isascii() and key.isprintable()):
        raise click.BadParameter("holds characters that no header can carry", param_hint="--key")
    lines = [f"POST {target} HTTP/1.1", f"host: {origin.authority}", "content-type: application/json"]
    lines += [f"authorization: Bearer {key}"] if key else []
    lines += [f"content-length: {len(body)}", "", ""]
    return Plan(
        origin=origin,
        head="\r\n".join(lines).encode(),
        body=body,
        at_once=at_once,
        seconds=seconds,
        calls=calls,
        streamed=streamed,
        end=ENDS.get(path.rpartition("/")[2]),
        settings=Settings(max_connections=at_once, ca=ca),
        deadlines=Deadlines(connect=min(10.0, timeout), first_byte=timeout, between_chunks=timeout, total=timeout),
    )


def _run(plan: Plan) -> Outcome:
    """Run the load on uvloop where there is one."""
    factory = None
    if os.name == "posix":
        factory = importlib.import_module("uvloop").new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(drive(plan))
    except ConfigError as error:
        raise click.UsageError(error.message) from None


def told(done: Outcome, plan: Plan) -> str:
    """Return an outcome in words for a terminal."""
    lines = [
        f"{done.good:,} good replies in {done.seconds:.1f} s, {plan.at_once} at once: {done.rate:,.1f} a second",
        "",
        f"  {'':<26}{'p50':>11}{'p90':>11}{'p99':>11}{'max':>11}",
    ]
    rows = [("first byte", done.first), ("whole reply", done.whole), ("of it the gateway (it says)", done.overhead)]
    lines += [_row(name, spread) for name, spread in rows if spread is not None]
    if plan.streamed:
        lines.append(f"\n  {done.events:,} events, {done.events / done.seconds:,.0f} a second")
    if done.cost is not None:
        lines.append(f"\n  cost, by the gateway's account: ${done.cost}")
    failed = sum(done.faults.values())
    lines.append(f"\n  {failed:,} failed" if failed else "\n  none failed")
    lines += [f"    {count:>9,}  {what}" for what, count in sorted(done.faults.items(), key=lambda item: -item[1])]
    if done.example:
        lines.append(f"    the first one said: {done.example}")
    return "\n".join(lines)


def _row(name: str, spread: Times) -> str:
    cells = "".join(f"{_milliseconds(value):>11}" for value in (spread.p50, spread.p90, spread.p99, spread.max))
    return f"  {name:<26}{cells}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.2f} ms" if seconds < 1 else f"{seconds:,.2f} s"
