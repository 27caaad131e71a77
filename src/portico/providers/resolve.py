"""Providers made ready for use: a row of the catalog, what the configuration says, and the environment."""

import re
import time
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from portico.config import schema
from portico.errors import ConfigError, InvalidRequest
from portico.providers.address import Endpoint, checked_path, join, parse
from portico.providers.auth import Auth, Clock
from portico.providers.auth.none import Anonymous
from portico.providers.credentials import OPTIONS, credentials, inferred
from portico.providers.provider import Provider
from portico.providers.row import CATALOG, QUIRKS, Option, Row

_HOLE = re.compile(r"\{(\w+)\}")
_ORIGIN = re.compile(r"https?://[^/]+|\{\w+\}")
_MODEL = "{model}"
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]*")
# what describes one connection or one body; a configuration that set it would break the message
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})


def resolve(name: str, declared: schema.Provider, environ: Mapping[str, str], *, clock: Clock = time.time) -> Provider:
    """Return the provider `name`. ConfigError that names everything missing or unknown, one a line.

    A key in the environment is used only where the row says the provider is; an address of one's own gets
    the keys that the configuration gives it, and none otherwise.
    """
    like = declared.like or name
    row = CATALOG.get(like)
    if row is None:
        hint = _nearest(like, CATALOG)
        raise ConfigError(
            f"Provider {name!r}: {like!r} is not in the catalog{hint}. "
            "An endpoint of your own says whom it is `like`, and its `base_url`."
        )
    problems: list[str] = []
    given = _given(row, declared, problems)
    options = _Options(row, given, environ)
    headers = _headers(declared, problems)
    for quirk in declared.quirks:
        if quirk.removeprefix("-") not in QUIRKS:
            problems.append(f"there is no quirk {quirk.removeprefix('-')!r}{_nearest(quirk.removeprefix('-'), QUIRKS)}")
    base = _base(row, declared, options, problems)
    places, streams = _places(row, declared, options, base)
    problems += [
        f"it has no operation {name!r} here{_nearest(name, (*row.every_operation, *row.objects))}"
        for name in declared.operations
        if name not in places and name not in row.objects
    ]
    auths: tuple[Auth, ...] = ()
    elsewhere = declared.base_url is not None and not row.local and not _belongs(row, base)
    keys = _keys(row, declared, {} if elsewhere else environ)
    try:
        if row.auth == "aws":
            options.filled("{region}")
        auths = credentials(name, row, keys, options.known(), environ, clock)
    except ConfigError as error:
        problems.append(error.message)
    problems += [_needed(missing, row.options.get(missing, Option())) for missing in options.missing]
    keyless = row.local or elsewhere or row.auth == "none" or declared.team_keys == "required"
    if not keyless and any(isinstance(a, Anonymous) for a in auths):
        problems.append(f"it needs an `api_key`, or {row.keys[0]} in the environment")
    if problems:
        raise ConfigError("\n".join(f"Provider {name!r}: {problem.rstrip('.')}." for problem in problems))
    objects = _objects(row, declared, options, base)
    return Provider(name, like, row, declared, base, places, streams, auths, headers, objects)


def discover(environ: Mapping[str, str]) -> dict[str, schema.Provider]:
    """Return the providers that can be used with nothing but what the environment holds.

    Those that lack an option besides the key are left out, and so are rows that share their key's variable with
    another row, and servers of one's own: they are used where they are declared.
    """
    found: dict[str, schema.Provider] = {}
    for name, row in CATALOG.items():
        if row.shared or row.local or not any(environ.get(variable) for variable in (*row.keys, *row.found_by)):
            continue
        try:
            resolve(name, schema.Provider(), environ)
        except ConfigError:
            continue
        found[name] = schema.Provider()
    return found


class _Options:
    """The values that fill the holes of a row's URLs; `missing` gathers what nobody gave."""

    def __init__(self, row: Row, given: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._row = row
        self._given = given
        self._environ = environ
        self._inferred: dict[str, str] | None = None
        self.missing: dict[str, None] = {}

    def known(self) -> dict[str, str]:
        """Return every option that has a value."""
        values = {name: self._value(name) for name in self._row.options}
        return {**self._given, **{name: value for name, value in values.items() if value is not None}}

    def filled(self, template: str) -> str:
        """Return a template with its holes filled, but for the model's."""

        def fill(hole: re.Match[str]) -> str:
            if hole[0] == _MODEL:
                return hole[0]
            value = self._value(hole[1])
            if value is None:
                self.missing[hole[1]] = None
                return ""
            # what stands first may be a whole URL; anywhere else it is one part of one
            return value if hole.start() == 0 else quote(value, safe="-._~:@")

        return _HOLE.sub(fill, template)

    def _value(self, name: str) -> str | None:
        if name in self._given:
            return self._given[name]
        option = self._row.options.get(name, Option())
        for variable in option.env:
            if value := self._environ.get(variable, "").strip():
                return value
        if self._inferred is None:
            self._inferred = inferred(self._row, self._given, self._environ)
        if name in self._inferred:
            return self._inferred[name]
        if option.by is not None and (choice := option.choices.get(self._value(option.by) or "")) is not None:
            return choice
        if option.default is None:
            return None
        # an option whose default needs another one is missing as a whole; the message names both
        if any(self._value(hole) is None for hole in _HOLE.findall(option.default)):
            return None
        return self.filled(option.default)


def _needed(name: str, option: Option) -> str:
    """Return what to do about an option that nobody gave."""
    ways = [f"the option `{name}`"]
    ways += [f"the option `{hole}`" for hole in _HOLE.findall(option.default or "")]
    ways += [f"{variable} in the environment" for variable in option.env]
    return f"it needs {', or '.join(ways)}"


def _given(row: Row, declared: schema.Provider, problems: list[str]) -> dict[str, str]:
    """Return the configuration's options as text; add to `problems` those that nobody reads."""
    allowed = set(row.options) | OPTIONS.get(row.auth, frozenset())
    given: dict[str, str] = {}
    for name, value in declared.options.items():
        if name not in allowed:
            problems.append(f"it has no option `{name}`{_nearest(name, allowed)}")
        given[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return given


def _keys(row: Row, declared: schema.Provider, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the configured keys, or the first one that the environment has."""
    configured = (*declared.api_keys, *((declared.api_key,) if declared.api_key else ()))
    if configured:
        return tuple(key.strip() for key in configured)
    # keys of an AWS or Entra identity in the configuration say that no key of the environment is meant
    if OPTIONS.get(row.auth, frozenset()) & declared.options.keys():
        return ()
    return tuple(key for variable in row.keys if (key := environ.get(variable, "").strip()))[:1]


def _headers(declared: schema.Provider, problems: list[str]) -> list[tuple[str, str]]:
    """Return the configured headers with names in lower case; add to `problems` those that cannot be sent."""
    headers = []
    for name, value in declared.headers.items():
        lowered = name.lower()
        if not _HEADER_NAME.fullmatch(lowered) or not _HEADER_VALUE.fullmatch(value):
            problems.append(f"the header {name!r} holds a character that no header can carry")
        elif lowered in _FRAMING:
            problems.append(f"the header {name!r} is set by the connection, not by the configuration")
        headers.append((lowered, value.strip()))
    return headers


def _base(row: Row, declared: schema.Provider, options: _Options, problems: list[str]) -> Endpoint:
    """Return the base URL; add to `problems` why it cannot be used."""
    url = options.filled(declared.base_url or row.base_url)
    nowhere = Endpoint("https", "nowhere.invalid", 443, "")
    if options.missing:
        return nowhere
    try:
        base = parse(url if "://" in url else f"https://{url}")
        if base.query:
            raise ValueError("it has a query")
        if base.path:
            checked_path(base.path)
    except (ValueError, InvalidRequest) as error:
        problems.append(f"its base URL cannot be used: {error}")
        return nowhere
    return base


def _places(
    row: Row, declared: schema.Provider, options: _Options, base: Endpoint
) -> tuple[dict[str, Endpoint], dict[str, Endpoint]]:
    """Return where each operation is, whole and streamed."""

    wanted = declared.operations or row.every_operation

    def found(templates: Mapping[str, str]) -> dict[str, Endpoint]:
        places = {}
        for operation, template in templates.items():
            if operation in wanted and (place := _place(row, declared, options, base, template, operation)) is not None:
                places[operation] = place
        return places

    return found({operation: row.path(operation) for operation in row.every_operation}), found(row.streams)


def _objects(row: Row, declared: schema.Provider, options: _Options, base: Endpoint) -> dict[str, Endpoint]:
    """Return where each family of objects is. Who names the operations of a provider names those of its objects."""
    found = {}
    for family, template in row.objects.items():
        if not declared.operations or family in declared.operations:
            place = _place(row, declared, options, base, template, family)
            if place is not None:
                found[family] = place
    return found


def _place(
    row: Row, declared: schema.Provider, options: _Options, base: Endpoint, template: str, operation: str
) -> Endpoint | None:
    """Return where one operation is, or None when the configured base URL says nothing about its place."""
    if template.startswith("/"):
        path, _, query = options.filled(template).partition("?")
        return Endpoint(base.scheme, base.host, base.port, join(base.path, path), query, operation)
    if declared.base_url is None:
        there = parse(options.filled(template))
        return Endpoint(there.scheme, there.host, there.port, there.path, there.query, operation)
    # A whole URL of the row moves along with a configured base URL when both are on one origin there.
    origin, path = _split(template)
    own_origin, own_path = _split(row.base_url)
    if origin != own_origin or (base.path and not base.path.endswith(own_path)):
        return None
    mount = base.path.removesuffix(own_path)
    path, _, query = options.filled(path).partition("?")
    return Endpoint(base.scheme, base.host, base.port, mount + path, query, operation)


def _split(url: str) -> tuple[str, str]:
    """Return the origin and the path of a URL with holes."""
    origin = _ORIGIN.match(url)
    assert origin is not None, url
    return origin[0], url[origin.end() :]


def _belongs(row: Row, base: Endpoint) -> bool:
    """Tell whether a base URL is at a place of which the row speaks."""
    if row.base_url.startswith("{"):
        return True

    def pattern(template: str) -> str:
        parts, end = [], 0
        for hole in _HOLE.finditer(template):
            parts += [re.escape(template[end : hole.start()]), of(row.options.get(hole[1], Option()))]
            end = hole.end()
        return "".join([*parts, re.escape(template[end:])])

    def of(option: Option) -> str:
        written = [*option.choices.values(), *([option.default] if option.by and option.default is not None else [])]
        return f"(?:{'|'.join(pattern(value) for value in written)})" if written else r"[a-z0-9_-]+"

    return re.fullmatch(pattern(_split(row.base_url)[0]), f"{base.scheme}://{base.authority}") is not None


def _nearest(name: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
