"""What the supervisor says: lines and the banner on stderr (stdout has the records of calls), readiness to systemd."""

import contextlib
import os
import socket
import sys

from portico import __version__
from portico.supervisor.plan import Plan


def say(line: str) -> None:
    """Write a line to stderr."""
    _write(f"portico: {line}")


def _write(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more, which must not end the gateway
        print(text, file=sys.stderr, flush=True)  # noqa: T201


def banner(plan: Plan, url: str) -> None:
    """Say where Portico serves, where its key is, what it found, and a first call to copy.

    The key is shown in one case only: it was made just now, and a person is at the terminal.
    """
    _write(render_banner(plan, url, shown=sys.stderr.isatty()))


def render_banner(plan: Plan, url: str, *, shown: bool) -> str:
    """Return the banner; `shown`: a key that was made just now is in it."""
    facts = [
        ("config", plan.source or "none (no portico.yaml here): providers are found by the keys in the environment")
    ]
    providers = ", ".join(plan.providers)
    facts.append(("providers", providers or "none yet: set a key such as OPENAI_API_KEY, or name them in portico.yaml"))
    if plan.models:
        facts.append(("models", _some(plan.models)))
    if plan.keys:
        facts.append(("callers", f"{plan.keys} key{'s' if plan.keys > 1 else ''} beside the master key"))
    if plan.unix_socket:
        facts.append(("socket", plan.unix_socket))
    facts.append(("master key", _key(plan)))
    if plan.made_key and shown:
        facts.append(("", f"{plan.made_key}   (shown this once)"))
    lines = [f"Portico {__version__} serves at {url}", ""]
    lines += [f"  {name:<11} {fact}" for name, fact in facts]
    lines += ["", "  Try it:", *(f"    {line}" for line in _example(plan, url)), ""]
    return "\n".join(lines)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _key(plan: Plan) -> str:
    match plan.key_from:
        case "configuration":
            return "server.master_key of the configuration"
        case "environment":
            return "$PORTICO_MASTER_KEY"
        case "made":
            return f"made now, kept in {plan.key_path}"
    return f"in {plan.key_path}"


def _example(plan: Plan, url: str) -> list[str]:
    key = {"configuration": "YOUR_KEY", "environment": "$PORTICO_MASTER_KEY"}.get(
        plan.key_from, f"$(cat {_quoted(plan.key_path)})"
    )
    insecure = " -k" if plan.tls else ""
    call = f'curl{insecure} {url}/v1/models -H "Authorization: Bearer {key}"'
    if not plan.models:
        return [call]
    return [
        f"curl{insecure} {url}/v1/chat/completions -H 'content-type: application/json' \\",
        f'  -H "Authorization: Bearer {key}" \\',
        f'  -d \'{{"model": "{plan.models[0]}", "messages": [{{"role": "user", "content": "Say hello."}}]}}\'',
    ]


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "'\\''") + "'" if set(path) & set(" '\"$\\&;()") else path


def notify(state: str) -> None:
    """Tell systemd, where it started us and asked to be told (sd_notify(3): a datagram to $NOTIFY_SOCKET)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(state.encode(), address)
        except OSError as error:
            say(f"systemd could not be told {state!r}: {error}")
