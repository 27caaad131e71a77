"""`portico jobs`: work that outlives its calls, and how it ended."""

from typing import Any

import click

from portico.cli.admin_client import AdminClient
from portico.cli.admin_show import Column, as_json, dollars, field, how_many, show_json, table, talks, when

STATES = ("going", "completed", "failed", "cancelled", "expired", "lost")
FAMILIES = ("batches", "message_batches", "gemini_batches", "fine_tuning", "responses")

COLUMNS: tuple[Column, ...] = (
    ("STARTED (UTC)", when("started_at")),
    ("STATE", field("state")),
    ("FAMILY", field("family")),
    ("NAME", field("name")),
    ("KEY", field("key")),
    ("TEAM", field("team")),
    ("TARGET", field("target")),
    ("RESERVED", lambda item: dollars(item.get("reserved_nano_usd"))),
    ("COST", lambda item: dollars(item.get("cost_nano_usd"))),
    ("ENDED (UTC)", when("ended_at")),
    ("CALL", field("id")),
)


@click.command()
@click.option("--state", type=click.Choice(STATES), help="Jobs that go on, or that ended so.")
@click.option("--family", type=click.Choice(FAMILIES), help="Jobs of this kind.")
@click.option("--of-key", help="Jobs of this key, by its id.")
@click.option("--team", help="Jobs of this team.")
@click.option("--user", help="Jobs of this user.")
@click.option("--provider", help="Jobs at this provider.")
@how_many
@as_json
@talks
def command(api: AdminClient, /, limit: int, *, as_json: bool, **filters: Any) -> None:
    """Show batches, fine-tuning jobs and background responses: those that go on, and how the others ended.

    \b
      portico jobs --state going
      portico jobs --team core --family batches
    """
    filters["key"] = filters.pop("of_key")
    found = api.pages("jobs", limit, **filters)
    if as_json:
        show_json(found)
    else:
        table(found, COLUMNS, "There is no job that fits.")
