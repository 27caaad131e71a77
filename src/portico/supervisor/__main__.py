"""`python -m portico.supervisor`: what `portico serve` becomes, with the same options."""

# ruff: noqa: PTH106, PTH108, PTH120 -- see the package

import contextlib
import os
import sys
from collections.abc import Sequence

from portico.supervisor import FAILED, TAKEN, WRONG, CannotStart
from portico.supervisor.announce import say
from portico.supervisor.data_dir import control_socket, lock
from portico.supervisor.listening import open_port, open_unix
from portico.supervisor.plan import resolve
from portico.supervisor.supervise import SILENCE, Supervisor


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop; return the exit code."""
    try:
        silence = float(os.environ.get("PORTICO_SILENCE", SILENCE))
    except ValueError:
        say(f"PORTICO_SILENCE is not a number of seconds: {os.environ['PORTICO_SILENCE']!r}")
        return WRONG
    (plan, files), code = resolve(arguments)
    if plan is None:
        return code if code in (WRONG, TAKEN) else FAILED
    control_path = None
    try:
        lock(plan.data_dir)
        sockets = open_port(plan.host, plan.port, plan.workers)
        unix = open_unix(plan.unix_socket, 0o660) if plan.unix_socket else None
        control_path = control_socket(plan.data_dir)
        control = open_unix(control_path, 0o600)
    except CannotStart as error:
        say(str(error))
        return error.code
    try:
        return Supervisor(plan, arguments, sockets, unix, control, files, silence).run()
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(control_path)
            if os.path.dirname(control_path) != plan.data_dir:
                os.rmdir(os.path.dirname(control_path))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
