"""`portico shadows`: copies of calls at another target beside the calls that they are of."""

from typing import Any

import click

from portico.cli.admin_client import AdminClient
from portico.cli.admin_show import Column, as_json, dollars, field, show_json, table, talks


def _of(side: str, name: str) -> Any:
    def text(item: Any) -> str:
        value = item[side][name]
        if value is None:
            return ""
        return dollars(value) if name == "cost_nano_usd" else f"{value / 1000:,.0f} ms"

    return text


def _same(name: str) -> Any:
    return lambda item: f"{item[name] / item['compared']:.1%}" if item["compared"] else ""


COLUMNS: tuple[Column, ...] = (
    ("MODEL", field("model")),
    ("TARGET", field("target")),
    ("COPY", field("shadow")),
    ("COPIES", lambda item: f"{item['copies']:,}"),
    ("FAILED", lambda item: f"{item['copies'] - item['served']:,}" if item["copies"] > item["served"] else ""),
    ("SAME END", _same("same_finish")),
    ("SAME CALLS", _same("same_calls")),
    ("COST", _of("caller", "cost_nano_usd")),
    ("COPY'S", _of("copy", "cost_nano_usd")),
    ("P95", _of("caller", "total_us_p95")),
    ("COPY'S P95", _of("copy", "total_us_p95")),
)


@click.command()
@click.option("--model", help="Of calls of this model.")
@click.option("--since", help="From then on: 2026-12-01T00:00:00Z; by default the last week.")
@click.option("--until", help="Up to then.")
@as_json
@talks
def command(api: AdminClient, model: str | None, since: str | None, until: str | None, *, as_json: bool) -> None:
    """Set copies of calls (`shadow` of a model) beside the calls that they are of.

    How often both ended for the same reason and called the same tools with the same arguments, what both cost, and
    how long they took.
    """
    found = api("GET", "shadows", model=model, since=since, until=until)
    if as_json:
        show_json(found)
        return
    table(found["items"], COLUMNS, "No call was copied in that time.")
    for name, whys in found["left_out"].items():
        told = ", ".join(f"{count:,} {why.replace('_', ' ')}" for why, count in whys.items())
        click.echo(f"not copied, of {name}: {told}", err=True)
