"""`portico explain`: where a call would go and why, without sending it."""

import os
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from portico.cli.admin_client import AdminClient
from portico.cli.admin_show import Column, as_json, dollars, show_json, table, talks


def _measure(item: Any, name: str, form: str) -> str:
    measures = item.get("measures") or {}
    if name == "in_flight" and measures.get("resting"):
        return "rests"
    return form.format(measures[name]) if measures.get(name) is not None else ""


TARGETS: tuple[Column, ...] = (
    ("", lambda item: str(item.get("place") or "-")),
    ("TARGET", lambda item: item["target"]),
    ("COST", lambda item: dollars(item["cost_nano_usd"]) if item.get("cost_nano_usd") is not None else "unknown"),
    ("CACHED", lambda item: f"{item['cached_tokens']:,}" if item.get("cached_tokens") else ""),
    ("UNDER WAY", lambda item: _measure(item, "in_flight", "{}")),
    ("FAILED", lambda item: _measure(item, "failure_rate", "{:.0%}")),
    ("FIRST TOKEN", lambda item: _measure(item, "first_token_ms", "{:.0f} ms")),
    ("A TOKEN", lambda item: _measure(item, "token_ms", "{:.1f} ms")),
    ("WHOLE", lambda item: _measure(item, "whole_ms", "{:.0f} ms")),
    ("REGION", lambda item: item.get("region") or ""),
    ("WHY NOT", lambda item: item.get("why_not") or ""),
)
ALWAYS = ("", "TARGET", "COST")
"""Columns that are shown though they are empty."""


@click.command()
@click.argument("model", required=False)
@click.option("--body", type=click.File("rb"), help="The request's body, from a file; `-` for standard input.")
@click.option("--path", default="/v1/chat/completions", show_default=True, help="Where it would be sent.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header of the request.")
@click.option("--as", "holder", metavar="KEY_ID", help="As the key of this id: what it may do, its tags and bounds.")
@click.option("--draw", type=click.FloatRange(0, 1, max_open=True), default=0.5, help="What chance says.")
@click.option("--config", "file", type=click.Path(dir_okay=False), help="By this configuration, without a gateway.")
@as_json
@talks
def command(
    api: AdminClient,
    model: str | None,
    body: Any,
    path: str,
    headers: tuple[str, ...],
    holder: str | None,
    draw: float,
    file: str | None,
    *,
    as_json: bool,
) -> None:
    """Say where a call for MODEL would go, target by target, what it would cost there, and what was left out and why.

    \b
      portico explain smart
      portico explain --body request.json --header x-portico-tags:tier:free
      portico explain smart --config new.yaml
    """
    question = _question(model, body.read() if body is not None else b"{}", path, headers, holder, draw)
    found = api("POST", "explain", question) if file is None else _without(file, question)
    if as_json:
        show_json(found)
        return
    plan = found["plan"]
    about = [f"{plan['model']} by {plan['operation']}", plan.get("strategy") or "one target"]
    about += [f"arm {plan['arm']}"] if plan.get("arm") else []
    about.append(f"about {plan['input_tokens']:,} tokens in, {plan['output_tokens']:,} out")
    click.echo(", ".join(about))
    for rule in plan.get("rules", []):
        click.echo(f"by the rule {rule}")
    if plan.get("workers"):
        click.echo(f"as {plan['workers']} running worker{'s' * (plan['workers'] != 1)} measured it")
    if plan.get("measured"):
        click.echo("the order depends on what workers measure, which is not known here")
    if plan.get("likelihood") is not None:
        click.echo(f"the small target is {plan['likelihood']:.1%} likely to do")
    if plan.get("kept"):
        warm = plan["kept"] == "warm"
        click.echo("kept where its prompt is cached" if warm else "kept where its conversation belongs")
    for canary in plan.get("canaries", []):
        click.echo(_canary(canary))
    if plan.get("refused"):
        click.echo(f"refused: {plan['refused']}")
    shown = [column for column in TARGETS if column[0] in ALWAYS or any(map(column[1], plan["targets"]))]
    table(plan["targets"], shown, "No target.")
    for bound in found["bounds"]:
        left = "" if bound.get("left") is None else f", {bound['left']:,} left"
        click.echo(f"under {bound['rule']}: {bound['amount']:,} {bound['counts']} per {bound['per']}{left}")


def _canary(found: dict[str, Any]) -> str:
    """Say how far a canary is, and by what it is judged."""
    states = {
        "rising": f"gets {found['share']:.4g} of the calls",
        "done": f"is done, with {found['share']:.4g} of the calls",
        "back": "was taken back",
    }
    did = f"{found['failed']:,} of {found['calls']:,} calls failed"
    others = f"{found['others_failed']:,} of {found['others_calls']:,} of the others"
    told = f"the canary {found['to']} {states[found['state']]}, for {found['since']:,.0f} s"
    return f"{told}: {did}, {others}; {found['why']}"


def _question(
    model: str | None, body: bytes, path: str, headers: tuple[str, ...], holder: str | None, draw: float
) -> dict[str, Any]:
    try:
        members = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"it is not a JSON object: {error}", param_hint="'--body'") from None
    if model is not None:
        members["model"] = model
    pairs = [header.partition(":") for header in headers]
    if not all(found for _, found, _ in pairs):
        raise click.BadParameter("expected NAME:VALUE", param_hint="'--header'")
    said = {name.strip(): value.strip() for name, _, value in pairs}
    return {"body": members, "path": path, "headers": said, "draw": draw} | ({"holder": holder} if holder else {})


def _without(file: str, question: dict[str, Any]) -> dict[str, Any]:
    from portico.analysis.explain import explain
    from portico.config.load import load
    from portico.errors import PorticoError
    from portico.plan.asked import Question

    if "holder" in question:
        raise click.UsageError("the keys of a store are not in a configuration: `--as` needs a running gateway")
    try:
        config = load(Path(file), os.environ).config
        found = explain(config, msgspec.convert(question, Question))
    except PorticoError as error:
        click.echo(f"portico: {error}", err=True)
        sys.exit(1)
    return {"plan": msgspec.to_builtins(found), "bounds": []}
