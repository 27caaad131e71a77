"""Tables and sums as people read them, and the options that all commands of the admin API share."""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec

import click
import msgspec

from portico.cli.admin_client import AdminClient, Refused, fail

P = ParamSpec("P")

_URL = "The gateway's URL; without it, the socket in --data-dir [$PORTICO_URL]."
_KEY = "A key with a role; by default the master key, where it is kept [$PORTICO_KEY]."
_DATA_DIR = "The data directory of the gateway on this machine [$PORTICO_DATA_DIR; ~/.local/share/portico]."

Column = tuple[str, Callable[[Any], str]]


def talks(command: Callable[Concatenate[AdminClient, P], None]) -> Callable[..., None]:
    """Give a command the admin API to talk to, and its options."""

    @click.option("--url", envvar="PORTICO_URL", help=_URL)
    @click.option("--key", envvar="PORTICO_KEY", help=_KEY)
    @click.option("--data-dir", envvar="PORTICO_DATA_DIR", help=_DATA_DIR)
    @functools.wraps(command)
    def wrapped(url: str | None, key: str | None, data_dir: str | None, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(AdminClient(url, key, data_dir), *args, **kwargs)
        except (Refused, OSError) as error:
            fail(error)

    return wrapped


as_json = click.option("--json", "as_json", is_flag=True, help="What the API answers, as JSON.")
how_many = click.option(
    "--limit", type=click.IntRange(min=0), default=50, show_default=True, help="At most; 0 for all."
)


def show_json(value: Any) -> None:
    """Write plain data as JSON, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(items: Sequence[Any], columns: Sequence[Column], nothing: str) -> None:
    """Write a table of those columns that say something."""
    if not items:
        click.echo(nothing, err=True)
        return
    rows = [[text(item) for _, text in columns] for item in items]
    kept = [at for at in range(len(columns)) if any(row[at] for row in rows)]
    wide = {at: max(len(columns[at][0]), *(len(row[at]) for row in rows)) for at in kept}
    right = {at for at in kept if all(_numeric(row[at]) for row in rows if row[at])}
    for row in [[head for head, _ in columns], *rows]:
        cells = [row[at].rjust(wide[at]) if at in right else row[at].ljust(wide[at]) for at in kept]
        click.echo("  ".join(cells).rstrip())


def field(name: str) -> Callable[[Any], str]:
    """Return what shows a field as it is."""

    def text(item: Any) -> str:
        value = item.get(name)
        return "" if value is None or value == [] else ", ".join(value) if isinstance(value, list) else str(value)

    return text


def counted(name: str) -> Callable[[Any], str]:
    """Return what shows an amount of a rule in what it counts: dollars where that is money."""

    def text(item: Any) -> str:
        value = item.get(name)
        return "" if value is None else dollars(value) if item.get("counts") == "cost" else f"{value:,}"

    return text


def when(name: str) -> Callable[[Any], str]:
    """Return what shows a time to the minute."""
    return lambda item: (item.get(name) or "")[:16].replace("T", " ")


def dollars(nano: int | None) -> str:
    """Return an amount of money with as many decimals as it takes, two at least."""
    if nano is None:
        return ""
    whole, part = divmod(abs(nano), 1_000_000_000)
    decimals = f"{part:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}${whole:,}.{decimals}"


def bounds(item: Any) -> str:
    """Return the limits and budgets of an object in a few words."""
    said = []
    for entry in (*item.get("limits", ()), *item.get("budgets", ())):
        for name in ("usd", "requests", "tokens", "input_tokens", "output_tokens", "in_flight"):
            if entry.get(name) is not None:
                amount = f"${entry[name]:g}" if name == "usd" else f"{entry[name]} {name.replace('_', ' ')}"
                said.append(amount if name == "in_flight" else f"{amount}/{entry['per']}")
    return ", ".join(said)


def parsed_bounds(texts: Sequence[str], option: str) -> list[dict[str, Any]]:
    """Return limits or budgets as the API takes them, from `100 requests/minute`, `10usd/month`, `in_flight=5`."""
    found = []
    for text in texts:
        amount, _, per = text.partition("/")
        number = "".join(c for c in amount if c.isdigit() or c == ".")
        name = "".join(c for c in amount if c.isalpha() or c == "_").lower() or "usd"
        try:
            value: float | int = float(number) if name == "usd" else int(number)
        except ValueError:
            raise click.BadParameter(
                f"{text!r} is none; write 10usd/month or 100requests/minute", param_hint=f"'{option}'"
            ) from None
        found.append({name: value, **({"per": per} if per else {})})
    return found


def terminal() -> bool:
    """Whether a person reads this."""
    return sys.stdout.isatty()


def _numeric(text: str) -> bool:
    return text.lstrip("-$").replace(",", "").replace(".", "").isdigit()
