"""`portico check`: what a configuration says, or everything that is wrong with it."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from portico.config.load import Loaded, load
from portico.config.problems import Place, Problem, RejectedConfigError
from portico.config.schema import Config, Model, Provider
from portico.errors import ConfigError
from portico.providers.catalog import CATALOG, resolve

DEFAULT = "portico.yaml"


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def command(file: str | None, *, as_json: bool) -> None:
    """Check the configuration in FILE (portico.yaml) without serving.

    Prints what was understood, or every problem with its line. Exit code 0 when it can be put in force, 1 when not.
    Nothing is called: whether a key is valid shows when it is used.
    """
    path = named(file)
    try:
        loaded = load(path, os.environ, catalog=CATALOG)
        unusable = [*unusable_providers(loaded, os.environ), *unusable_rules(loaded), *unusable_scorers(loaded)]
        unusable += unusable_routes(loaded)
        if unusable:
            raise RejectedConfigError(unusable, loaded.files)
    except RejectedConfigError as error:
        if as_json:
            click.echo(_json({"ok": False, "files": error.files, "problems": plain(error.problems)}))
        else:
            click.echo(described(error.problems), err=True)
            count = len(error.problems)
            click.echo(f"\n{path} cannot be used: {count} problem{'s' if count > 1 else ''}.", err=True)
        sys.exit(1)
    loaded = msgspec.structs.replace(loaded, warnings=(*loaded.warnings, *unpriced(loaded)))
    click.echo(_json(_summary(loaded)) if as_json else _text(path, loaded))


def named(file: str | None) -> str:
    """Return the file to read: the one given, else PORTICO_CONFIG's, else portico.yaml. UsageError where none is."""
    found = file or os.environ.get("PORTICO_CONFIG") or (DEFAULT if Path(DEFAULT).exists() else None)
    if found is None:
        raise click.UsageError(f"there is no {DEFAULT} here; name a FILE")
    return found


def unusable_providers(loaded: Loaded, environ: Mapping[str, str]) -> list[Problem]:
    """Return why providers cannot be used as they are: a key or an option that is missing."""
    problems: list[Problem] = []
    for name, provider in loaded.config.providers.items():
        try:
            resolve(name, provider, environ)
        except ConfigError as error:
            place = loaded.lines.get(("providers", name), Place(loaded.files[0]))
            problems += [Problem(place=place, path="", message=line) for line in error.message.splitlines()]
    return problems


def unusable_rules(loaded: Loaded) -> list[Problem]:
    """Return why rules cannot be used as they are: an expression that is none, or nothing that evaluates it."""
    from portico.plan.rules import wrong_rules

    return _problems(loaded, wrong_rules(loaded.config))


def unusable_scorers(loaded: Loaded) -> list[Problem]:
    """Return why scorers cannot be used: a file that is none, or a report that misses what is demanded."""
    from portico.plan.scorer import wrong_scorers

    return _problems(loaded, wrong_scorers(loaded.config))


def unusable_routes(loaded: Loaded) -> list[Problem]:
    """Return which routes of keys are none."""
    from portico.dialects.callable import wrong_names

    return _problems(loaded, wrong_names(loaded.config))


def unpriced(loaded: Loaded) -> list[Problem]:
    """Return which targets of named models a hard budget in money refuses, because nobody has said what they cost."""
    from portico.providers.prices import price_of, with_overrides

    config = loaded.config
    holders = (*config.keys.values(), *config.teams.values(), *config.users.values(), *config.customers.values())
    given = [held.budgets for held in (*holders, *config.organizations.values())]
    given += [team.member.budgets for team in config.teams.values()]
    if not any(one.usd is not None and one.mode != "soft" for held in (*given, config.budgets) for one in held):
        return []
    likes = {name: provider.like or name for name, provider in config.providers.items()}
    bases = {name: provider.base_models for name, provider in config.providers.items()}
    known = with_overrides(
        config.prices, lambda provider, model: price_of(likes[provider], bases[provider].get(model, model))
    )
    found: list[tuple[tuple[str | int, ...], str]] = []
    for name, declared in config.models.items():
        for place, target in enumerate(declared.targets):
            provider, _, model = target.model.partition("/")
            if provider in likes and "*" not in model and known(provider, model) is None:
                how = f'`prices: {{"{target.model}": {{input: 0, output: 0}}}}`'
                why = (
                    f"nobody has said what {target.model!r} costs: budgets in dollars refuse it. If nothing, say {how}"
                )
                found.append((("models", name, "targets", place), why))
    return _problems(loaded, found)


def _problems(loaded: Loaded, wrong: Sequence[tuple[tuple[str | int, ...], str]]) -> list[Problem]:
    return [
        Problem(
            place=loaded.lines.get(path, Place(loaded.files[0])), path=".".join(str(step) for step in path), message=why
        )
        for path, why in wrong
    ]


def described(problems: Sequence[Problem]) -> str:
    """Return problems for a terminal: each with the line it stands on."""
    blocks = []
    for problem in problems:
        excerpt = "\n".join(f"    {line}" for line in problem.excerpt.splitlines())
        blocks.append(f"{problem}\n{excerpt}" if excerpt else str(problem))
    return "\n".join(blocks)


def plain(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Return problems as data."""
    return [
        {
            "file": problem.place.file,
            "line": problem.place.line,
            "column": problem.place.column,
            "path": problem.path,
            "message": problem.message,
        }
        for problem in problems
    ]


def _json(data: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode()


def _summary(loaded: Loaded) -> dict[str, Any]:
    config = loaded.config
    return {
        "ok": True,
        "files": loaded.files,
        "secret_files": loaded.secret_files,
        "variables": loaded.variables,
        "server": {"host": config.server.host, "port": config.server.port, "tls": config.server.tls is not None},
        "providers": {
            name: {"like": provider.like or name, "keys": len(_keys(provider)), "base_url": provider.base_url}
            for name, provider in config.providers.items()
        },
        "models": {
            name: {"strategy": model.strategy, "targets": [target.model for target in model.targets]}
            for name, model in config.models.items()
        },
        "keys": list(config.keys),
        "warnings": plain(loaded.warnings),
        "left_out": plain(loaded.left_out),
    }


def _text(path: str, loaded: Loaded) -> str:
    config = loaded.config
    lines = [f"{path} can be used."]
    if len(loaded.files) > 1:
        lines.append(f"  includes   {', '.join(loaded.files[1:])}")
    scheme = "https" if config.server.tls is not None else "http"
    lines.append(f"  server     {scheme}://{config.server.host}:{config.server.port}, workers: {config.server.workers}")
    lines += _listed("providers", [f"{name}{_about(name, p)}" for name, p in config.providers.items()])
    lines += _listed("models", [f"{name} {_targets(model)}" for name, model in config.models.items()])
    lines.append(f"  keys       {_held(config)}")
    if loaded.warnings:
        lines += ["", "Worth a look:", described(loaded.warnings)]
    if loaded.left_out:
        lines += ["", "Not carried over from litellm's file, or worth a look:"]
        lines += [f"  {problem}" for problem in loaded.left_out]
    return "\n".join(lines)


def _listed(title: str, entries: list[str]) -> list[str]:
    if not entries:
        return [f"  {title:<10} none"]
    return [f"  {title if index == 0 else '':<10} {entry}" for index, entry in enumerate(entries)]


def _about(name: str, provider: Provider) -> str:
    parts = [f"like {provider.like}"] if provider.like not in (None, name) else []
    if provider.base_url is not None:
        parts.append(provider.base_url)
    keys = len(_keys(provider))
    if keys > 1:
        parts.append(f"{keys} keys")
    return f" ({', '.join(parts)})" if parts else ""


def _keys(provider: Provider) -> tuple[str, ...]:
    return provider.api_keys or ((provider.api_key,) if provider.api_key is not None else ())


def _targets(model: Model) -> str:
    if model.strategy == "weighted":
        total = sum(target.weight for target in model.targets)
        shares = [f"{target.model} {target.weight / total:.0%}" for target in model.targets]
        return "-> " + " | ".join(shares)
    return "-> " + ", then ".join(target.model for target in model.targets)


def _held(config: Config) -> str:
    own = "the master key" if config.server.master_key is not None else "a master key of its own making"
    return f"{len(config.keys)}, and {own}" if config.keys else own
