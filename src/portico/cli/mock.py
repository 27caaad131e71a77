"""`portico mock`: a stand-in provider on a port, for trying Portico, or any client, without a key."""

import asyncio
import contextlib
import errno
import gc
import importlib
import json
import os
import signal
import ssl
import sys
from collections.abc import Coroutine
from pathlib import Path

import click
import msgspec

from portico.config.schema import Price
from portico.errors import InvalidRequest
from portico.testing.faults import spoken
from portico.testing.mock import MockProvider

PORT_TAKEN = 3

EXAMPLES = """\
A provider of every dialect, at {url}

  OpenAI     OpenAI(base_url="{url}/v1", api_key="{key}")
  Anthropic  Anthropic(base_url="{url}", api_key="{key}")
  Gemini     genai.Client(api_key="{key}", http_options={{"base_url": "{url}"}})
  Bedrock    boto3.client("bedrock-runtime", endpoint_url="{url}", region_name="us-east-1")
  Cohere     cohere.ClientV2(base_url="{url}", api_key="{key}")
  Portico    OPENAI_API_KEY={key} with providers: {{openai: {{base_url: {url}/v1}}}}
  curl       curl {url}/v1/chat/completions -H 'authorization: Bearer {key}' \\
               -d '{{"model": "any?tokens=9&latency=0.5", "messages": [{{"role": "user", "content": "Hello"}}]}}'

Any model name will do. Its suffix (as here), `[mock tokens=9]` in the prompt or a header `x-mock-tokens: 9` tell the
mock to be slow, to break off, to fail, to be out of quota.
{url}/_mock lists the words, {url}/_mock/ledger the calls."""


@click.command(name="mock")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option(
    "--port", "-p", type=click.IntRange(0, 65535), default=9999, show_default=True, help="Port; 0: any free one."
)
@click.option(
    "--latency", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait before the first byte of every reply."
)
@click.option(
    "--pace", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait between two chunks of every stream."
)
@click.option("--tokens", type=click.IntRange(min=0), help="Tokens of every answer.")
@click.option("--rpm", type=click.IntRange(min=0), metavar="N", help="Calls a minute for each key and model; then 429.")
@click.option(
    "--say", metavar="CONTROLS", help="Tell every call this, unless it says otherwise: 'status=503&one_in=10'."
)
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Take this key alone; may be repeated. [any key]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what happens now and then.")
@click.option(
    "--price",
    type=(click.FloatRange(min=0), click.FloatRange(min=0)),
    metavar="IN OUT",
    help="Dollars per million tokens in and out, for the ledger's costs.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append a JSON line per call, keys and all.",
)
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False), help="Serve HTTPS with this PEM chain.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="The PEM key of --tls-cert.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON line with the URL, and one with the totals at the end."
)
def command(
    *,
    host: str,
    port: int,
    latency: float | None,
    pace: float | None,
    tokens: int | None,
    rpm: int | None,
    say: str | None,
    keys: tuple[str, ...],
    seed: int,
    price: tuple[float, float] | None,
    record: Path | None,
    tls_cert: str | None,
    tls_key: str | None,
    as_json: bool,
) -> None:
    """Run a stand-in provider, to try things without a key.

    It speaks OpenAI's, Anthropic's, Gemini's, Bedrock's and Cohere's APIs, whole and streamed, and answers the same
    request always the same. Ctrl-C stops it.

    Exit codes: 0 stopped as asked; 2 the command line is wrong; 3 the port is taken.
    """
    said = {"latency": latency, "pace": pace, "tokens": tokens, "rpm": rpm}
    try:
        told = {**spoken({name: value for name, value in said.items() if value is not None}), **spoken(say)}
    except InvalidRequest as error:
        raise click.BadParameter(error.message, param_hint="--say") from None
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    tls = None
    if tls_cert is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            tls.load_cert_chain(tls_cert, tls_key)
        except (ssl.SSLError, OSError) as error:
            raise click.BadParameter(f"cannot be used: {error}", param_hint="--tls-cert") from None
    try:
        mock = MockProvider(
            host=host,
            port=port,
            keys=keys or None,
            defaults=told,
            seed=seed,
            price=None if price is None else Price(input=price[0], output=price[1]),
            record=record,
            tls=tls,
        )
    except OSError as error:
        raise click.BadParameter(f"cannot be written: {error}", param_hint="--record") from None
    _run(_serve(mock, keys[0] if keys else "any", as_json=as_json))


def _run(serving: Coroutine[None, None, None]) -> None:
    """Run on uvloop where there is one."""
    factory = None
    if sys.platform != "win32":
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serving)


async def _serve(mock: MockProvider, key: str, *, as_json: bool) -> None:
    """Serve until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt there
            loop.add_signal_handler(number, stop.set)
    try:
        await mock.start()
    except OSError as error:
        why = (
            f"port {mock.port} on {mock.host} is in use by another program; stop that one, or choose another --port"
            if error.errno == errno.EADDRINUSE
            else f"cannot listen on {mock.host}:{mock.port}: {error.strerror or error}"
        )
        click.echo(f"portico: {why}", err=True)
        raise SystemExit(PORT_TAKEN) from None
    if as_json:
        click.echo(json.dumps({"url": mock.url, "port": mock.port, "pid": os.getpid()}))
    else:
        click.echo(EXAMPLES.format(url=mock.url, key=key))
    sys.stdout.flush()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)  # many streams are many objects: looking through them often would slow all
    await stop.wait()
    await mock.stop()
    totals = mock.ledger.totals
    if as_json:
        click.echo(msgspec.json.encode(totals).decode())
    else:
        click.echo(
            f"\n{totals.calls} calls: {totals.served} served, {totals.refused} refused, {totals.cut} cut, "
            f"{totals.gone} abandoned; {totals.input} tokens in, {totals.output} out"
        )
