"""Loads a configuration: files in, a `Config` out, or one error that names everything wrong with it."""

import os
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from portico.config import litellm
from portico.config.document import Document, Table, plain_node
from portico.config.files import drop_missing, gather, read, substitute_table
from portico.config.fit import fit
from portico.config.meaning import check
from portico.config.problems import Path, Place, Problem, Report
from portico.config.schema import Config


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration in force, and where it came from.

    `files` are the configuration's, the first one first; `secret_files` those of `file:` values; all of them
    are worth watching. `lines` says where each path stands. `variables` are the environment's that were used.
    `left_out` is what another gateway's file says and this one does not carry over.
    """

    config: Config
    files: tuple[str, ...] = ()
    secret_files: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()
    left_out: tuple[Problem, ...] = ()
    lines: dict[Path, Place] = {}


def load(path: str | os.PathLike[str], environ: Mapping[str, str], *, catalog: Collection[str] | None = None) -> Loaded:
    """Load the configuration in a YAML or JSON file; a litellm configuration is recognised and converted.

    `catalog` holds the names of the known providers; without it they are not checked. Raises ConfigError (the
    `RejectedConfigError` in `portico.config.problems`, which has every problem with its place) and nothing else.
    """
    file = os.fspath(path)
    report = Report()
    document = read(file, report)
    report.settle([file])
    assert document is not None
    return _load(file, document, environ, report, catalog)


def load_plain(
    data: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    file: str = "the configuration",
    catalog: Collection[str] | None = None,
) -> Loaded:
    """Load a configuration from plain data, as JSON would hold it. `file` is what relative paths are relative to."""
    report = Report()
    try:
        root = plain_node(data, file)
    except ValueError as error:
        report.error(Place(file), (), str(error))
        report.settle()
        raise
    return _load(file, Document(root, []), environ, report, catalog)


def finish(
    root: Table, report: Report, catalog: Collection[str] | None, files: Collection[str]
) -> tuple[Config, dict[Path, Place], tuple[str, ...]]:
    """Fit, check and build what the files said; variables are already put in. Raises with all that was found."""
    fitted = fit(root, report)
    check(fitted.data, fitted.lines, report, catalog)
    report.settle([*files, *fitted.secret_files])
    inherit_timeouts(fitted.data)
    return msgspec.convert(fitted.data, Config), fitted.lines, fitted.secret_files


def inherit_timeouts(data: dict[str, Any]) -> None:
    """Fill what a provider's or a target's deadlines leave out: from the provider's, those from the general."""
    general = data.get("timeouts", {})
    own: dict[str, dict[str, Any]] = {}
    for name, provider in data.get("providers", {}).items():
        if provider.get("timeouts") is not None:
            own[name] = provider["timeouts"] = {**general, **provider["timeouts"]}
    for model in data.get("models", {}).values():
        for target in model["targets"]:
            if target.get("timeouts") is not None:
                above = own.get(target["model"].partition("/")[0], general)
                target["timeouts"] = {**above, **target["timeouts"]}


def _load(
    file: str,
    document: Document,
    environ: Mapping[str, str],
    report: Report,
    catalog: Collection[str] | None,
) -> Loaded:
    if litellm.recognised(document):
        return _load_litellm(file, document, environ, report, catalog)
    gathered = gather(file, document, environ, report)
    config, lines, secret_files = finish(gathered.root, report, catalog, gathered.files)
    return Loaded(
        config=config,
        files=tuple(gathered.files),
        secret_files=secret_files,
        variables=tuple(gathered.variables),
        warnings=tuple(report.warnings),
        lines=lines,
    )


def _load_litellm(
    file: str, document: Document, environ: Mapping[str, str], report: Report, catalog: Collection[str] | None
) -> Loaded:
    imported = litellm.convert(document, file, environ, report, catalog)
    report.settle(imported.files)
    used: dict[str, None] = {}
    # litellm takes a variable that is not set for a setting that is not there; so does this, but it says so.
    present = drop_missing(imported.root, environ, report)
    root = substitute_table(present, environ, report, used)
    config, lines, secret_files = finish(root, report, catalog, imported.files)
    return Loaded(
        config=config,
        files=imported.files,
        secret_files=secret_files,
        variables=tuple(used),
        warnings=tuple(report.warnings),
        left_out=imported.left_out,
        lines=lines,
    )
