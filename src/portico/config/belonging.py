"""What a configuration says of who may call makes sense: names that exist, bounds that bound, no bound twice."""

import ipaddress
import zoneinfo
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import msgspec

from portico.config.declared import NO_MODEL, rules_of, within
from portico.config.problems import Path, Report, safe
from portico.config.schema import Budget, Limit

Data = dict[str, Any]
Say = Callable[[Path, str], None]

MOST_NAME: Final = 128
UNCLAMPED: Final = frozenset({"requests", "in_flight"})
"""Counts that no shorter output makes smaller."""

_TABLES: Final = {"org": "organizations", "team": "teams", "user": "users", "key": "keys"}


def check_belonging(data: Data, report: Report, error: Say, warn: Say) -> None:
    """Say what makes no sense of organizations, teams, users, customers, keys, limits and budgets."""
    _Belonging(data, report, error, warn).check()


def zone_known(name: str) -> bool:
    """Whether the system knows a time zone of this name."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def network_known(text: str) -> bool:
    """Whether text is an address or a network in CIDR form."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def faults_of(entry: Limit | Budget) -> Iterator[tuple[str, str]]:
    """Yield what makes no sense of one limit or budget: the field, and what to say of it."""
    counted = [name for name in ("usd", *_COUNTS) if getattr(entry, name, None) is not None]
    if not counted:
        more = "`usd`, `tokens`, `requests`" if isinstance(entry, Budget) else "`requests`, `tokens`, `in_flight`"
        yield "", f"it bounds nothing: say how much of {more} …"
    if isinstance(entry, Limit) and entry.per == "forever":
        yield "per", "a limit comes back with time; what is used up for ever is a budget"
    if entry.mode == "clamp" and (never := [name for name in counted if name in UNCLAMPED]):
        yield "mode", f"a shorter output makes no fewer `{never[0]}`; `clamp` is for tokens and money"
    if isinstance(entry, Budget) and not zone_known(entry.zone):
        yield "zone", f"no time zone is called {safe(entry.zone)!r}; write an IANA name such as `Europe/Berlin`"


_COUNTS: Final = ("requests", "tokens", "input_tokens", "output_tokens", "in_flight")


class _Belonging:
    def __init__(self, data: Data, report: Report, error: Say, warn: Say) -> None:
        self.data = data
        self.report = report
        self.error = error
        self.warn = warn

    def check(self) -> None:
        for dimension, table in (*_TABLES.items(), ("customer", "customers")):
            for name, one in self.data.get(table, {}).items():
                self._name(name, one, (table, name))
                self._bounds(one, (table, name), f"{dimension}:{name}")
        for name, team in self.data.get("teams", {}).items():
            self._known(team, "org", ("teams", name))
            self._tags(team, ("teams", name))
            self._bounds(team.get("member") or {}, ("teams", name, "member"), f"team:{name}/member")
        for name, user in self.data.get("users", {}).items():
            self._known(user, "org", ("users", name))
        for name, key in self.data.get("keys", {}).items():
            self._key(key, ("keys", name))
        self._apart()

    def _key(self, key: Data, path: Path) -> None:
        for field in ("org", "team", "user"):
            self._known(key, field, path)
        self._tags(key, path)
        for index, network in enumerate(key.get("ips", ())):
            if network is not None and not network_known(network):
                self.error((*path, "ips", index), "expected an address or a network such as `10.0.0.0/8`")
        team, user, org = self._above(key, "team"), self._above(key, "user"), self._above(key, "org")
        if key.get("org") and team.get("org") and key["org"] != team["org"]:
            self.error((*path, "org"), f"its team belongs to the organization {safe(team['org'])!r}")
        levels = [self._whole(one.get("models")) for one in (key, team, user, org)]
        if within(*levels) == NO_MODEL:
            self.error(path, "it may call nothing: its `models` and those of its team, user or organization differ")

    def _above(self, key: Data, field: str) -> Data:
        found = self.data.get(_TABLES[field], {}).get(key.get(field))
        return found if isinstance(found, dict) else {}

    @staticmethod
    def _whole(patterns: Any) -> tuple[str, ...]:
        return tuple(one for one in patterns or () if one)

    def _name(self, name: str, one: Data, path: Path) -> None:
        if not name.isprintable() or name != name.strip() or len(name) > MOST_NAME:
            self.error(path, f"a name has at most {MOST_NAME} printable characters and no space around it")
        elif "*" in name and (path[0] != "keys" or one.get("limits") or one.get("budgets")):
            self.error(path, "a name holds no `*`; limits for many stand at the top, with `for` and `each`")

    def _known(self, one: Data, field: str, path: Path) -> None:
        name = one.get(field)
        known: Collection[str] = self.data.get(_TABLES[field], {})
        if name is not None and name not in known:
            hint = self.report.nearest(name, known) or f"; declare it under `{_TABLES[field]}`"
            self.error((*path, field), f"there is no {field} {safe(name)!r}{hint}")

    def _tags(self, one: Data, path: Path) -> None:
        for index, tag in enumerate(one.get("tags", ())):
            if tag is not None and not tag_good(tag):
                self.error((*path, "tags", index), "a tag is `name:value`, printable, of at most 256 characters")

    # Limits and budgets

    def _bounds(self, one: Data, path: Path, label: str) -> None:
        seen: dict[str, Path] = {}
        for field, kind in (("limits", Limit), ("budgets", Budget)):
            for index, entry in enumerate(one.get(field, ())):
                if entry is not None:
                    self._bound(entry, kind, (*path, field, index), label, seen)

    def _apart(self) -> None:
        seen: dict[str, Path] = {}
        for field, kind in (("limits", Limit), ("budgets", Budget)):
            for index, entry in enumerate(self.data.get(field, ())):
                if entry is None:
                    continue
                path: Path = (field, index)
                to: Data = entry.get("for", {})
                plain = {name: value for name, value in entry.items() if name not in ("for", "each")}
                label = f"{sorted((k, sorted(filter(None, v))) for k, v in to.items() if v)}{entry.get('each')}"
                self._bound(plain, kind, path, label, seen)
                self._selects(to, path)

    def _selects(self, to: Data, path: Path) -> None:
        for dimension, patterns in to.items():
            table = _TABLES.get(dimension)
            if not patterns:
                self.error((*path, "for", dimension), "it names nothing")
            for pattern in patterns or ():
                known = self.data.get(table or "", {})
                if table and pattern and "*" not in pattern and pattern not in known:
                    hint = self.report.nearest(pattern, known)
                    self.warn((*path, "for", dimension), f"no {dimension} here is called {safe(pattern)!r}{hint}")

    def _bound(
        self, entry: Data, kind: type[Limit] | type[Budget], path: Path, label: str, seen: dict[str, Path]
    ) -> None:
        whole = {name: value for name, value in entry.items() if name != "alerts"}
        built = msgspec.convert(whole, kind)
        faults = list(faults_of(built))
        for field, message in faults:
            self.error((*path, field) if field else path, message)
        if faults:
            return
        limits, budgets = ([built], []) if isinstance(built, Limit) else ([], [built])
        for applied in rules_of(label, limits, budgets, {}):
            named = f"{applied.rule.id}/{applied.rule.mode}"
            if named in seen:
                what = f"{applied.rule.counts} per {built.per}"
                first = ".".join(map(str, seen[named]))
                self.error(path, f"{what} is bounded twice; the other is at `{first}`")
            seen.setdefault(named, path)


def tag_good(tag: str) -> bool:
    """Whether text is a tag: `name:value`."""
    name, colon, value = tag.partition(":")
    return bool(name and colon and value) and tag.isprintable() and len(tag) <= 256
