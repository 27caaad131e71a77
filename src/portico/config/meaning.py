"""What a configuration means: names that must exist, values that exclude each other, files that must be there.

Works on the schema's plain data, before it is a `Config`, so that one report holds all that is wrong.
"""

import os
import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final
from urllib.parse import urlsplit

from portico.config.belonging import check_belonging
from portico.config.problems import Path, Place, Report, safe
from portico.config.rates import RATE, TOKEN_RATES, UNIT_RATES

RESERVED: Final = frozenset({"v1", "v1beta", "v1beta1", "v2", "model", "livez", "readyz"})
"""First steps of the gateway's own paths; a provider of such a name could not be reached by its path."""

SHORT_KEY: Final = 16
SHADOW: Final = "shadow"
"""The key that copies of calls are charged to."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", re.ASCII)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", re.ASCII)
_ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9.\[\]:-]+", re.ASCII)
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})

Data = dict[str, Any]


def check(data: Data, lines: dict[Path, Place], report: Report, catalog: Collection[str] | None = None) -> None:
    """Report what makes no sense; `catalog` holds the names of the known providers, where they are at hand."""
    _Meaning(data, lines, report, catalog).check()


class _Meaning:
    def __init__(self, data: Data, lines: dict[Path, Place], report: Report, catalog: Collection[str] | None) -> None:
        self.data = data
        self.lines = lines
        self.report = report
        self.catalog = catalog
        self.providers: Data = data.get("providers", {})
        self.models: Data = data.get("models", {})

    def check(self) -> None:
        self._server(self.data.get("server", {}))
        for name, provider in self.providers.items():
            self._provider(name, provider, ("providers", name))
        for name, model in self.models.items():
            self._model(name, model, ("models", name))
        self._cycles()
        for index, rule in enumerate(self.data.get("routing", {}).get("rules", ())):
            self._rule(rule, ("routing", "rules", index))
        self._keys(self.data.get("keys", {}))
        check_belonging(self.data, self.report, self._error, self._warn)
        for name in self.data.get("prices", {}):
            self._priced(name, ("prices", name))
            self._rates(self.data["prices"][name], ("prices", name))

    def _error(self, path: Path, message: str, *, reveal: bool = False) -> None:
        self.report.error(self._place(path), path, message, reveal=reveal)

    def _warn(self, path: Path, message: str, *, reveal: bool = False) -> None:
        self.report.warn(self._place(path), path, message, reveal=reveal)

    def _place(self, path: Path) -> Place:
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, Place("the configuration"))

    # The server

    def _server(self, server: Data) -> None:
        path: Path = ("server",)
        self._file(server.get("tls") or {}, "cert", (*path, "tls"))
        self._file(server.get("tls") or {}, "key", (*path, "tls"))
        socket = server.get("unix_socket")
        if socket is not None and not 0 < len(os.fsencode(socket)) < 108:
            self._error((*path, "unix_socket"), "the path of a unix socket has between 1 and 107 bytes")
        cors = server.get("cors")
        if cors is not None and _ORIGIN.fullmatch(cors) is None:
            self._error((*path, "cors"), "expected `*`, or one origin such as `https://chat.example.com`")
        workers = server.get("workers", "auto")
        if workers != "auto" and not 1 <= workers <= 1024:
            self._error((*path, "workers"), "between 1 and 1024 workers, or `auto`")
        limits = server.get("limits", {})
        if limits.get("header_bytes", 1 << 16) < limits.get("url_bytes", 0):
            self._warn(
                (*path, "limits", "url_bytes"), "it is more than `header_bytes`, which also bounds the request line"
            )

    def _file(self, table: Data, field: str, path: Path) -> None:
        name = table.get(field)
        if name is None:
            return
        try:
            with open(os.path.expanduser(name), "rb"):  # noqa: PTH111, PTH123 - a name, as `ssl` will take it
                pass
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not a path"
            self._error((*path, field), f"the file {safe(name)!r} cannot be read: {why}")

    # Providers

    def _provider(self, name: str, provider: Data, path: Path) -> None:
        if not _NAME.match(name):
            self._error(path, "a provider's name has letters, digits, `-`, `_` and `.` only, at most 64")
        elif name in RESERVED:
            self._error(path, f"{name!r} is a path of the gateway itself; call the provider something else")
        if self.catalog is not None:
            self._row(name, provider, path, self.catalog)
        self._credentials(provider, path)
        for field in ("base_url", "proxy"):
            self._url(provider, field, path)
        for header in provider.get("headers", {}):
            if not _HEADER.match(header):
                self._error((*path, "headers", header), "this cannot be the name of a header")
            elif header.lower() in _FRAMING:
                self._error((*path, "headers", header), "this header belongs to the connection and cannot be set")
        for field in ("ca", "client_cert", "client_key"):
            self._file(provider, field, path)
        if provider.get("client_key") is not None and provider.get("client_cert") is None:
            self._error((*path, "client_key"), "`client_key` needs `client_cert`")

    def _row(self, name: str, provider: Data, path: Path, catalog: Collection[str]) -> None:
        like = provider.get("like")
        if like is not None and like not in catalog:
            message = f"no provider in the catalog is called {safe(like)!r}{self.report.nearest(like, catalog)}"
            self._error((*path, "like"), message, reveal=True)
        elif like is None and name not in catalog:
            message = f"no provider in the catalog is called {safe(name)!r}{self.report.nearest(name, catalog)}"
            self._error(path, f"{message}; for an endpoint of your own say what it is like: `like: openai`")

    def _credentials(self, provider: Data, path: Path) -> None:
        several: list[str | None] = provider.get("api_keys") or []
        if provider.get("api_key") is not None and several:
            self._error((*path, "api_keys"), "`api_key` and `api_keys` exclude each other; list all in `api_keys`")
        for index, key in enumerate(several):
            if key is not None and key in several[:index]:
                first = several.index(key)
                self._error((*path, "api_keys", index), f"this key is the same as `api_keys[{first}]`")

    def _url(self, provider: Data, field: str, path: Path) -> None:
        url = provider.get(field)
        if url is None or (field == "proxy" and url == "none"):
            return
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            self._error((*path, field), "this is not a URL")
            return
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or port == 0
            or not url.isprintable()
            or " " in url
        ):
            self._error((*path, field), "expected a URL such as `https://host/path`")
        elif field == "base_url" and (parts.username is not None or parts.password is not None):
            self._error((*path, field), "a key does not belong in the URL; use `api_key` or `headers`")
        elif field == "base_url" and parts.fragment:
            self._error((*path, field), "a URL with `#…` cannot be called")

    # Models

    def _model(self, name: str, model: Data, path: Path) -> None:
        if not name.isprintable() or name != name.strip():
            self._error(path, "a model's name has printable characters and no space around it")
        if "**" in name:
            self._error(path, "`**` stands for nothing else than `*`")
        strategy = model.get("strategy", "fallback")
        targets = [(i, t) for i, t in enumerate(model.get("targets", ())) if t is not None]
        shares = strategy in ("weighted", "split")
        if targets and shares and not any(t.get("weight", 1.0) > 0 for _, t in targets):
            self._error(path, "no target has a weight over 0")
        if "sticky" in model and strategy != "split":
            self._warn((*path, "sticky"), "it has no effect without `strategy: split`")
        if "score" in model and strategy != "score":
            self._warn((*path, "score"), "it has no effect without `strategy: score`")
        if "complexity" in model and strategy != "complexity" and not self._asks_complexity(model):
            message = "it has no effect without `strategy: complexity` or a rule that reads `complexity`"
            self._warn((*path, "complexity"), message)
        if strategy == "complexity" and len(targets) < 2:
            self._error(
                path, "`strategy: complexity` chooses between a small target, the first, and at least one other"
            )
        seen: set[str] = set()
        for index, target in targets:
            where = (*path, "targets", index)
            if not shares and "weight" in target:
                self._warn((*where, "weight"), "a weight has no effect without `strategy: weighted`", reveal=True)
            if "model" not in target:
                continue
            if target["model"] in seen:
                self._warn(
                    (*where, "model"), "this target stands twice; `retries` says how often one is tried", reveal=True
                )
            seen.add(target["model"])
            self._target(name, target["model"], (*where, "model"))
            if "max_concurrency" in target and self._nested(target["model"]):
                self._warn(
                    (*where, "max_concurrency"), "it has no effect on a name of `models`; its own targets have theirs"
                )
        for index, rule in enumerate(model.get("rules", ())):
            self._rule(rule, (*path, "rules", index))
        if model.get("shadow") is not None:
            self._shadow(model["shadow"], (*path, "shadow"))
        if model.get("canary") is not None:
            self._canary(name, model["canary"], (*path, "canary"))

    def _asks_complexity(self, model: Data) -> bool:
        """Return whether a rule of a model, or of all, reads what its scorer says."""
        rules = (*self.data.get("routing", {}).get("rules", ()), *model.get("rules", ()))
        return any(rule is not None and "complexity" in (rule.get("when") or "") for rule in rules)

    def _canary(self, name: str, canary: Data, path: Path) -> None:
        if canary.get("to") is not None:
            self._target(name, canary["to"], (*path, "to"))
        steps = [step for step in canary.get("steps", ()) if step is not None]
        if any(one >= other for one, other in pairwise([0.0, *steps])):
            self._error((*path, "steps"), "each share is larger than the one before it, and the first larger than 0")

    def _shadow(self, shadow: Data, path: Path) -> None:
        self._leads(shadow.get("to"), (*path, "to"))
        team, teams = shadow.get("team"), self.data.get("teams", {})
        if team is not None and team not in teams:
            message = f"no team is called {safe(team)!r}{self.report.nearest(team, teams)}"
            self._error((*path, "team"), message, reveal=True)
        if SHADOW in self.data.get("keys", {}):
            self._error(("keys", SHADOW), "copies of calls are charged to a key of this name; call it otherwise")

    def _leads(self, name: str | None, path: Path) -> None:
        """Report a name that leads nowhere."""
        if name is not None and name not in self.models and name.partition("/")[0] not in self.providers:
            hint = self.report.nearest(name, self.models) or "; name one of `models`, or `provider/model`"
            self._error(path, f"nothing is called {safe(name)!r}{hint}", reveal=True)

    def _rule(self, rule: Data | None, path: Path) -> None:
        if rule is None:
            return
        if rule.get("use") is None and rule.get("require") is None:
            self._error(path, "a rule says where calls go with `use`, what targets must have with `require`, or both")
        self._leads(rule.get("use"), (*path, "use"))
        for provider in (rule.get("require") or {}).get("providers", ()):
            if provider is not None and provider not in self.providers:
                hint = self.report.nearest(provider, self.providers)
                message = f"no provider is called {safe(provider)!r}{hint}"
                self._error((*path, "require", "providers"), message, reveal=True)

    def _cycles(self) -> None:
        """Report names that lead back to themselves, by their targets or by the rules that send calls on."""
        leads: dict[str, list[str]] = {}
        for name, model in self.models.items():
            named = [t["model"] for t in model.get("targets", ()) if t is not None and "model" in t]
            named += [r["use"] for r in model.get("rules", ()) if r is not None and r.get("use") is not None]
            if (to := (model.get("canary") or {}).get("to")) is not None:
                named.append(to)
            leads[name] = [one for one in named if self._nested(one)]
        done: set[str] = set()
        for name in leads:
            if (cycle := _cycle(name, leads, done, [])) is not None:
                shown = " → ".join(safe(one) for one in cycle)
                self._error(("models", name), f"it leads back to itself: {shown}", reveal=True)

    def _nested(self, target: str) -> bool:
        """Whether a target is another name of `models`: a provider of that name goes first."""
        return target in self.models and target.partition("/")[0] not in self.providers

    def _target(self, alias: str, target: str, path: Path) -> None:
        provider, slash, model = target.partition("/")
        if self._nested(target) and "*" not in target:
            return
        if target.count("*") > alias.count("*"):
            has = "as many" if "*" in alias else "any"
            message = f"{safe(target)!r} has `*`, and the model's name {safe(alias)!r} does not have {has}"
            self._error(path, message, reveal=True)
        elif "*" in provider:
            message = "a target names its provider; `provider/model` needs no entry here to be callable"
            self._error(path, message, reveal=True)
        elif not slash or not model or not provider:
            self._error(path, f"{safe(target)!r} is not `provider/model`{self._instead(target)}", reveal=True)
        elif provider not in self.providers:
            hint = self._instead(target) or self.report.nearest(provider, self.providers)
            hint = hint or f"; add {safe(provider)!r} under `providers`"
            self._error(path, f"no provider is called {safe(provider)!r}{hint}", reveal=True)

    def _instead(self, target: str) -> str:
        if "/" in target:
            return ""
        return self.report.nearest(target, [*self.models, *(f"{name}/{target}" for name in self.providers)])

    # Keys and prices

    def _keys(self, keys: Data) -> None:
        held: dict[str, Path] = {}
        for path, value in self._key_values(keys):
            if value in held:
                place = self._place(held[value])
                self._error(path, f"this key is the same as the one at {place}")
            elif len(value) < SHORT_KEY:
                self._warn(path, f"a key of fewer than {SHORT_KEY} characters can be guessed")
            held.setdefault(value, path)
        for name, key in keys.items():
            for index, pattern in enumerate(key.get("models", ())):
                if pattern is not None:
                    self._pattern(pattern, ("keys", name, "models", index))
            for index, provider in enumerate(key.get("passthrough", ())):
                if provider not in self.providers and provider not in (None, "*"):
                    message = f"no provider is called {safe(provider)!r}{self.report.nearest(provider, self.providers)}"
                    self._error(("keys", name, "passthrough", index), message, reveal=True)

    def _key_values(self, keys: Data) -> Iterator[tuple[Path, str]]:
        master = self.data.get("server", {}).get("master_key")
        if master is not None:
            yield ("server", "master_key"), master
        for name, key in keys.items():
            if "key" in key:
                yield ("keys", name, "key"), key["key"]

    def _pattern(self, pattern: str, path: Path) -> None:
        if not pattern or pattern != pattern.strip():
            self._error(path, "a model's name, or a pattern with `*`")
            return
        provider, slash, _ = pattern.partition("/")
        if slash and "*" not in provider and provider not in self.providers and pattern not in self.models:
            known = [name.partition("/")[0] for name in self.models if "/" in name]
            if provider not in known:
                hint = self.report.nearest(provider, self.providers)
                self._warn(path, f"it allows nothing: no provider is called {safe(provider)!r}{hint}", reveal=True)
        elif not slash and "*" not in pattern and self.models and pattern not in self.models:
            hint = self.report.nearest(pattern, self.models)
            if hint:
                self._warn(path, f"no model name of yours is {safe(pattern)!r}{hint}", reveal=True)

    def _rates(self, price: Data, path: Path) -> None:
        for rate in price.get("rates", {}):
            if RATE.fullmatch(rate) is None:
                hint = self.report.nearest(rate, (*TOKEN_RATES, *UNIT_RATES))
                self._error((*path, "rates", rate), f"no rate is called {safe(rate)!r}{hint}")
        for index, change in enumerate(price.get("changes", ())):
            where: Path = (*path, "changes", index)
            try:
                datetime.strptime(change.get("from", "2000-01-01"), "%Y-%m-%d").replace(tzinfo=UTC)
            except ValueError:
                self._error((*where, "from"), "there is no such day; write it as `2026-12-01`")
            self._rates(change, where)

    def _priced(self, name: str, path: Path) -> None:
        provider, slash, model = name.partition("/")
        if not slash or not provider or not model:
            self._error(path, f"{safe(name)!r} is not `provider/model`")
        elif "*" in provider:
            self._error(path, "`*` stands for models of one provider, which is named: `provider/*`")
        elif provider not in self.providers:
            self._warn(path, f"no provider is called {safe(provider)!r}{self.report.nearest(provider, self.providers)}")


def _cycle(name: str, leads: dict[str, list[str]], done: set[str], way: list[str]) -> list[str] | None:
    """Return a way that comes back to where it began, once for each."""
    if name in way:
        return [*way[way.index(name) :], name]
    if name in done:
        return None
    done.add(name)
    for other in leads[name]:
        if (found := _cycle(other, leads, done, [*way, name])) is not None:
            return found
    return None
