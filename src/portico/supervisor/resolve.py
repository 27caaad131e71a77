"""The child that finds the plan: `python -m portico.supervisor.resolve`, with the options of `portico serve`.

It reads the configuration (or looks for providers in the environment), puts flags and variables over it, checks what
can be checked before a worker exists, and makes the master key where there is none. Flags win over variables, variables
over the file.
What is wrong goes to stderr; the plan goes to stdout, which is a pipe to the supervisor.
"""

import argparse
import contextlib
import math
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from portico.config.handover import encode
from portico.config.load import Loaded, load
from portico.config.problems import Problem, RejectedConfigError
from portico.config.schema import Config
from portico.errors import ConfigError
from portico.providers.catalog import CATALOG, discover
from portico.providers.catalog import resolve as resolve_provider
from portico.supervisor import TAKEN, WRONG, CannotStart
from portico.supervisor.plan import Plan, Resolved, render_resolved
from portico.wire.certificate import tls_context

DEFAULT_FILE = "portico.yaml"


def find(options: argparse.Namespace, environ: Mapping[str, str]) -> Resolved:
    """Find the plan. Raises ConfigError, CannotStart."""
    source = options.config or environ.get("PORTICO_CONFIG") or (DEFAULT_FILE if Path(DEFAULT_FILE).exists() else None)
    loaded = load(source, environ, catalog=CATALOG) if source else Loaded(config=Config(providers=discover(environ)))
    for problem in (*loaded.warnings, *loaded.left_out):
        print(f"portico: {problem}", file=sys.stderr)  # noqa: T201
    config = loaded.config
    server = config.server
    files = [*loaded.files, *loaded.secret_files]
    data_dir = Path(
        options.data_dir or environ.get("PORTICO_DATA_DIR") or server.data_dir or default_data_dir(environ)
    ).absolute()
    key, key_from, made = master_key(server.master_key, environ, data_dir)
    if server.tls is not None:
        tls_context(server.tls)
        files += [server.tls.cert, server.tls.key]
    check_providers(config, environ)
    check_rules(config)
    check_scorers(config)
    check_routes(config)
    config = msgspec.structs.replace(config, server=msgspec.structs.replace(server, master_key=key))
    workers = _option("workers", options.workers, environ, server.workers)
    plan = Plan(
        config=encode(config),
        source=str(source) if source else None,
        host=options.host or environ.get("PORTICO_HOST") or server.host,
        port=_number("port", _option("port", options.port, environ, server.port), 0, 65535),
        tls=server.tls is not None,
        unix_socket=str(Path(server.unix_socket).absolute()) if server.unix_socket else None,
        workers=cores() if workers == "auto" else _number("workers", workers, 1, 1024),
        data_dir=str(data_dir),
        drain=server.drain,
        key_from=key_from,
        key_path=str(data_dir / "master_key"),
        made_key=key if made else None,
        providers=tuple(config.providers),
        models=tuple(name for name in config.models if "*" not in name),
        keys=len(config.keys),
    )
    return Resolved(plan, tuple(str(Path(file).absolute()) for file in files))


def check_scorers(config: Config) -> None:
    """Raise ConfigError for scorers that cannot be used, or do not meet what is demanded of them."""
    asked = [config.routing.complexity, *(model.complexity for model in config.models.values())]
    if all(each.scorer is None for each in asked):
        return
    from portico.plan.scorer import wrong_scorers

    wrong = [f"{'.'.join(str(step) for step in path)}: {why}" for path, why in wrong_scorers(config)]
    if wrong:
        raise ConfigError("\n".join(wrong))


def check_routes(config: Config) -> None:
    """Raise ConfigError for keys that may call what there is not."""
    if not any(key.routes for key in config.keys.values()):
        return
    from portico.dialects.callable import wrong_names

    wrong = [f"{'.'.join(str(step) for step in path)}: {why}" for path, why in wrong_names(config)]
    if wrong:
        raise ConfigError("\n".join(wrong))


def check_rules(config: Config) -> None:
    """Raise ConfigError for rules whose expressions cannot be used."""
    if not config.routing.rules and not any(model.rules for model in config.models.values()):
        return
    from portico.plan.rules import wrong_rules

    wrong = [f"{'.'.join(str(step) for step in path)}: {why}" for path, why in wrong_rules(config)]
    if wrong:
        raise ConfigError("\n".join(wrong))


def _option(name: str, flag: str | None, environ: Mapping[str, str], configured: int | str) -> int | str:
    return flag or environ.get(f"PORTICO_{name.upper()}") or configured


def _number(name: str, value: int | str, least: int, most: int) -> int:
    with contextlib.suppress(ValueError):
        if least <= int(value) <= most:
            return int(value)
    raise ConfigError(f"{name} (--{name}, PORTICO_{name.upper()} or server.{name}) is {value!r}, not {least} to {most}")


def check_providers(config: Config, environ: Mapping[str, str]) -> None:
    """See that every provider can be resolved. Raises ConfigError with all that is wrong, one a line."""
    wrong = []
    for name, declared in config.providers.items():
        try:
            resolve_provider(name, declared, environ)
        except ConfigError as error:
            wrong.append(error.message)
    if wrong:
        raise ConfigError("\n".join(wrong))


def default_data_dir(environ: Mapping[str, str]) -> str:
    """Return where state is kept when nobody says: in the user's folder for such data (XDG base directories)."""
    shared = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return str(Path(shared) / "portico")


def master_key(configured: str | None, environ: Mapping[str, str], data_dir: Path) -> tuple[str, str, bool]:
    """Return the master key, where it is from (see Plan.key_from), and whether it was made now. Raises CannotStart."""
    if environ.get("PORTICO_MASTER_KEY"):
        return environ["PORTICO_MASTER_KEY"], "environment", False
    if configured:
        return configured, "configuration", False
    path = data_dir / "master_key"
    made = False
    try:
        if not path.exists():
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = _make_key(path)
        key = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a key"
        raise CannotStart(
            f"the master key {str(path)!r} cannot be made or read: {reason}. "
            "Choose another directory with --data-dir, or set PORTICO_MASTER_KEY.",
            TAKEN,
        ) from error
    if not key:
        raise CannotStart(f"the master key {str(path)!r} is empty. Remove the file, and a new key is made.", TAKEN)
    return key, "made" if made else "data directory", made


def _make_key(path: Path) -> bool:
    """Write a new key whole or not at all; return False where another process has just made one."""
    draft = path.with_name(f".master_key.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"sk-portico-{secrets.token_urlsafe(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def cores() -> int:
    """Return how many cores this process may use, by affinity and by its container's quota; one where not on Linux."""
    if sys.platform != "linux":
        return 1
    available = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        if quota != "max":
            available = min(available, max(1, math.ceil(int(quota) / int(period))))
    return available


def _tell(problems: Sequence[Problem]) -> None:
    for problem in problems:
        print(f"portico: {problem}", file=sys.stderr)  # noqa: T201
        for line in problem.excerpt.splitlines():
            print(f"    {line}", file=sys.stderr)  # noqa: T201


def main(arguments: Sequence[str]) -> int:
    """Find the plan, write it to stdout, and return the exit code."""
    parser = argparse.ArgumentParser(prog="portico serve", allow_abbrev=False)
    for name in ("--config", "--host", "--port", "--workers", "--data-dir"):
        parser.add_argument(name)
    options = parser.parse_args(arguments)
    try:
        resolved = find(options, os.environ)
    except CannotStart as error:
        print(f"portico: {error}", file=sys.stderr)  # noqa: T201
        return error.code
    except RejectedConfigError as error:
        _tell(error.problems)
        resolved = Resolved(None, tuple(str(Path(file).absolute()) for file in error.files))
    except ConfigError as error:
        for line in error.message.splitlines():
            print(f"portico: {line}", file=sys.stderr)  # noqa: T201
        resolved = Resolved()
    sys.stdout.buffer.write(render_resolved(resolved))
    sys.stdout.flush()
    return 0 if resolved.plan else WRONG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
