"""`portico replay`: what another configuration would have done with recorded calls."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from portico.cli.admin_client import AdminClient
from portico.cli.admin_show import Column, as_json, dollars, show_json, table, talks
from portico.config.load import load
from portico.config.schema import Config
from portico.errors import PorticoError
from portico.record import Record

MOVES: tuple[Column, ...] = (
    ("MODEL", lambda item: item["model"]),
    ("FROM", lambda item: item["source"] or "nowhere"),
    ("TO", lambda item: item["target"]),
    ("CALLS", lambda item: f"{item['calls']:,}"),
    ("COST", lambda item: dollars(item["cost_before_nano_usd"])),
    ("THEN", lambda item: dollars(item["cost_nano_usd"])),
)


@click.command()
@click.option(
    "--config", "file", type=click.Path(dir_okay=False), required=True, help="The configuration that is tried."
)
@click.option(
    "--base", type=click.Path(dir_okay=False), help="Compare with this configuration; by default with what happened."
)
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, allow_dash=True),
    help="Records in a file (JSON lines, or a list; `-` for standard input), or a journal's directory; by default "
    "those of the gateway.",
)
@click.option("--model", help="Calls that asked for this model.")
@click.option("--team", help="Calls of this team.")
@click.option("--since", help="Of the gateway's records: those from then on, 2026-12-01T00:00:00Z.")
@click.option("--until", help="Of the gateway's records: those up to then.")
@click.option(
    "--limit", type=click.IntRange(min=0), default=10_000, show_default=True, help="The last so many; 0 for all."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of what chance decides.")
@as_json
@talks
def command(
    api: AdminClient,
    file: str,
    base: str | None,
    source: str | None,
    model: str | None,
    team: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Plan recorded calls anew by another configuration: which would move, what they would cost, which would not fail.

    \b
      portico replay --config new.yaml --since 2026-12-01T00:00:00Z
      portico replay --config new.yaml --base portico.yaml --from records.jsonl --json

    Nothing is sent. Exit code 1 where a configuration or the records cannot be read.
    """
    from portico.analysis.replay import replay

    if source is None:
        filters = {"model": model, "team": team, "since": since, "until": until}
        found = [msgspec.convert(item, Record) for item in api.pages("records", limit, **filters)]
    else:
        if since or until:
            raise click.UsageError("--since and --until are for the gateway's own records")
        kept = [each for each in _read(source) if model in (None, each.model) and team in (None, each.team)]
        kept.sort(key=lambda record: record.time_ms)
        found = kept[-limit:] if limit else kept
    try:
        report = replay(found, _configured(file), _configured(base) if base is not None else None, seed=seed)
    except PorticoError as error:
        click.echo(f"portico: {error}", err=True)
        sys.exit(1)
    plain = msgspec.to_builtins(report)
    if as_json:
        show_json(plain)
    else:
        _show(plain)


def _configured(file: str) -> Config:
    return load(Path(file), os.environ).config


def _read(source: str) -> Iterator[Record]:
    """Yield the records of a file or of a journal."""
    if source != "-" and Path(source).is_dir():
        yield from _journaled(source)
        return
    data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    try:
        if data.lstrip()[:1] == b"[":
            yield from msgspec.json.decode(data, type=list[Record])
            return
        number = 0
        for number, line in enumerate(data.splitlines(), 1):  # noqa: B007  # it names the line
            if line.strip():
                yield msgspec.json.decode(line, type=Record)
    except msgspec.MsgspecError as error:
        where = "" if data.lstrip()[:1] == b"[" else f", line {number}"
        click.echo(f"portico: {source}{where}: this is no record of a call: {error}", err=True)
        sys.exit(1)


def _journaled(directory: str) -> Iterator[Record]:
    """Yield the records of a journal's segments, each call's last: what is known stands for what was assumed."""
    from portico.journal.entries import Kind, decode_record
    from portico.journal.reader import read
    from portico.journal.segments import segments

    found: dict[str, Record] = {}
    for segment in segments(directory):
        for _, entry in read(segment.path):
            if entry.kind == Kind.RECORD:
                record = decode_record(entry.payload)
                if record.id not in found or record.basis != "assumed":
                    found[record.id] = record
    yield from found.values()


def _show(report: dict[str, Any]) -> None:
    """Write a report as people read it."""
    calls, cost, failures = report["calls"], report["cost"], report["failures"]
    what = "what happened" if report["compared_with"] == "records" else "the other configuration"
    click.echo(f"{calls:,} calls planned anew, beside {what}")
    for why, count in sorted(report["left_out"].items()):
        click.echo(f"  {count:,} {'was' if count == 1 else 'were'} not: {why.replace('_', ' ')}")
    click.echo(
        f"{report['moved']:,} would be served elsewhere ({report['moved'] / calls:.1%})" if calls else "none moved"
    )
    if report["moves"]:
        table(report["moves"], MOVES, "")
    before, after = cost["before_nano_usd"], cost["after_nano_usd"]
    change = f" ({(after - before) / before:+.1%})" if before else ""
    unpriced = f"; {cost['unpriced']:,} calls have no price on one side" if cost["unpriced"] else ""
    click.echo(f"cost: {dollars(before)} before, {dollars(after)} then{change}, of {cost['calls']:,} calls{unpriced}")
    click.echo(
        f"failures: {failures['before']:,} before; {failures['avoided']:,} avoided, {failures['perhaps']:,} perhaps, "
        f"{failures['left']:,} not; {failures['caused']:,} new ones"
    )
    if report["unknown_targets"]:
        click.echo(f"no recorded call was at {', '.join(report['unknown_targets'])}: how they do is not known")
    if report["unseen"]:
        click.echo(f"rules ask for {', '.join(report['unseen'])}, which no record tells")
