"""`${VAR}`, `${VAR:-default}` and `$${` in the values of a configuration."""

import re
from collections.abc import Mapping

import msgspec

_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{", re.ASCII)
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?\Z", re.ASCII | re.DOTALL)


class Filled(msgspec.Struct, frozen=True):
    """A text after its variables were put in; `used` names them, `missing` those that are not set."""

    text: str
    used: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def fill(text: str, environ: Mapping[str, str]) -> Filled:
    """Put the environment's values into `text`.

    `${VAR}` must be set; `${VAR:-default}` stands for the default when VAR is unset or empty; `$${` writes `${`. What
    comes in is not looked at again. Raises ValueError for a `${` that is none of these.
    """
    if "${" not in text:
        return Filled(text)
    used: list[str] = []
    missing: list[str] = []

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        inside = _INSIDE.match(match[1]) if match[1] is not None else None
        if inside is None:
            raise ValueError(
                "`${` begins a variable: write `${NAME}` or `${NAME:-default}`, or `$${` for the text `${`"
            )
        name, default = inside[1], inside[2]
        used.append(name)
        found = environ.get(name)
        if default is not None:
            return found or str(default)
        if found is None:
            missing.append(name)
        return found or ""

    return Filled(_TOKEN.sub(value, text), tuple(dict.fromkeys(used)), tuple(dict.fromkeys(missing)))


def escape(text: str) -> str:
    """Write `text` so that `fill` gives it back unchanged."""
    return text.replace("${", "$${")
