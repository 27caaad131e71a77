"""`portico serve`: becomes the supervisor."""

import os
import sys
from pathlib import Path

import click


@click.command(name="serve")
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration file; a litellm one is understood. Else $PORTICO_CONFIG, else ./portico.yaml if there is one, "
    "else providers are found by the keys in the environment.",
)
@click.option("--host", metavar="ADDRESS", help="Address to listen on [$PORTICO_HOST; 127.0.0.1].")
@click.option("--port", "-p", type=click.IntRange(0, 65535), help="Port; 0 takes a free one [$PORTICO_PORT; 4000].")
@click.option("--workers", "-w", metavar="N|auto", help="Gateway processes [$PORTICO_WORKERS; auto: one per core].")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where state and the generated key are kept [$PORTICO_DATA_DIR; ~/.local/share/portico].",
)
def command(
    config: Path | None, host: str | None, port: int | None, workers: str | None, data_dir: Path | None
) -> None:
    """Serve: put Portico in front of your providers.

    Prints where it serves and where the key is, on stderr; stdout carries one JSON line per call. SIGHUP or a change of
    the file reloads the configuration, SIGTERM lets calls in flight end and stops, a second one stops at once.
    Flags win over variables, variables over the file.

    Exit codes: 0 stopped as asked; 1 stopped at once, or its processes cannot run; 2 the command line or the
    configuration is wrong; 3 the port or the data directory is taken or cannot be used.
    """
    if sys.platform == "win32":
        raise click.ClickException("Portico serves on Linux and macOS; on Windows, run it in WSL or a container.")
    if workers is not None and workers != "auto" and not (workers.isascii() and workers.isdigit() and int(workers) > 0):
        raise click.BadParameter(f"{workers!r} is neither `auto` nor a whole number from 1", param_hint="--workers")
    given = {"--config": config, "--host": host, "--port": port, "--workers": workers, "--data-dir": data_dir}
    options = [part for name, value in given.items() if value is not None for part in (name, str(value))]
    # Become the supervisor: it keeps this process id and holds none of what the command line needed.
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "portico.supervisor", *options])  # noqa: S606
