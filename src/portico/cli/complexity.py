"""`portico complexity`: train the scorer of a model with `strategy: complexity`, and show how it did."""

import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from portico.cli.admin_client import AdminClient
from portico.cli.admin_show import as_json, show_json, talks
from portico.config.schema import Complexity, Config, Model

MOST = 200_000
"""Records that are read at most, the newest: of the model's calls, and of copies."""


@click.group()
def command() -> None:
    """Find out for which calls a small model does, by the records of your own calls.

    \b
      portico complexity train smart --out smart.scorer.json
      portico complexity show smart.scorer.json
    """


@command.command()
@click.argument("model")
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="Where the scorer is written.")
@click.option("--config", "file", type=click.Path(dir_okay=False), help="The configuration; by default portico.yaml.")
@click.option("--labels", type=click.File("rb"), help='Lines of {"id": CALL, "sufficed": true}: what you know better.')
@click.option("--since", help="Calls from then on: 2026-12-01T00:00:00Z.")
@as_json
@talks
def train(
    api: AdminClient, model: str, out: str, file: str | None, labels: Any, since: str | None, *, as_json: bool
) -> None:
    """Train a scorer for MODEL, and say how it does.

    The strategy of MODEL is `complexity`; what is said is about calls that the scorer has not seen. The first
    target of MODEL is the small one. Exit code 1 where it misses what the configuration demands: it is written all
    the same, and no gateway will use it.
    """
    from portico.analysis.learning import examples
    from portico.analysis.learning import train as trained
    from portico.errors import ConfigError
    from portico.plan.scorer import missed
    from portico.record import Record

    config = _config(file)
    named = config.models.get(model)
    if named is None or named.strategy != "complexity":
        raise click.BadParameter(f"{model!r} is no name of `models` with `strategy: complexity`", param_hint="'MODEL'")
    small, large = named.targets[0].model, leaves(config, named.targets[1:])
    found = api.pages("records", MOST, model=model, since=since)
    found += [one for one in api.pages("records", MOST, key="shadow", since=since) if one.get("shadow_of")]
    names = {name for target in large for name in (target, target.partition("/")[2])}
    for name in sorted(names - {model}):
        # Who asks for a larger model after an answer was not content with it.
        found += api.pages("records", MOST, model=name, since=since)
    records = msgspec.convert(list({one["id"]: one for one in found}.values()), list[Record])
    try:
        scorer = trained(
            examples(records, model, small, large, _labels(labels)), model, small, harm=named.complexity.harm
        )
    except ConfigError as error:
        click.echo(f"portico: {error}", err=True)
        sys.exit(1)
    Path(out).write_bytes(msgspec.json.format(msgspec.json.encode(scorer), indent=2) + b"\n")
    why = missed(scorer.report, named.complexity)
    _say(scorer.report, named.complexity, why, out, as_json=as_json)
    sys.exit(0 if why is None else 1)


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@as_json
def show(file: str, *, as_json: bool) -> None:
    """Show the report of the scorer in FILE."""
    from portico.plan.scorer import LARGEST, Scorer

    try:
        scorer = msgspec.json.decode(Path(file).read_bytes()[: LARGEST + 1], type=Scorer)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"it is no scorer: {error}", param_hint="'FILE'") from None
    _say(scorer.report, None, None, file, as_json=as_json)


def leaves(config: Config, targets: Iterable[Any], deep: int = 8) -> list[str]:
    """Return where targets lead to, `provider/model`, those of names among them included."""
    found: dict[str, None] = {}
    for target in targets:
        inner: Model | None = config.models.get(target.model)
        if inner is None or target.model.partition("/")[0] in config.providers:
            found[target.model] = None
        elif deep:
            found.update(dict.fromkeys(leaves(config, inner.targets, deep - 1)))
    return list(found)


def _config(file: str | None) -> Config:
    from portico.cli.check import named
    from portico.config.load import load
    from portico.errors import ConfigError

    try:
        return load(named(file), os.environ).config
    except ConfigError as error:
        click.echo(f"portico: {error}", err=True)
        sys.exit(2)


def _labels(file: Any) -> dict[str, bool]:
    class Label(msgspec.Struct):
        id: str
        sufficed: bool

    if file is None:
        return {}
    try:
        return {each.id: each.sufficed for each in msgspec.json.Decoder(Label).decode_lines(file.read())}
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"a line is no label: {error}", param_hint="'--labels'") from None


def _say(report: Any, wanted: Complexity | None, why: str | None, file: str, *, as_json: bool) -> None:
    if as_json:
        show_json({"report": msgspec.to_builtins(report), "missed": why, "file": file})
        return
    day = datetime.fromtimestamp(report.since_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    click.echo(f"trained on {report.trained_on:,} calls, tried on the {report.held_out:,} newest, since {day}")
    told = (("copies", report.copies), ("calls", report.calls), ("labels", report.labels))
    click.echo("their outcomes are from " + ", ".join(f"{count:,} {name}" for name, count in told if count))
    click.echo(f"the small model did for {report.sufficed:.1%}; the scorer sends it {report.small:.1%}")
    click.echo(f"sent where they belong: {report.accuracy:.1%} (always the more frequent: {report.baseline:.1%})")
    click.echo(f"sent to the small model, which did not do: {report.harm:.1%}")
    if report.saving is not None:
        click.echo(f"cost saved, failures paid twice: {report.saving:.1%} (without a mistake: {report.most:.1%})")
    if why is not None:
        click.echo(f"not to be switched on: {why}", err=True)
    elif wanted is not None:
        click.echo(f"{file} may be switched on: set it as `complexity.scorer`")
