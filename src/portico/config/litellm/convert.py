"""From a litellm document to one of Portico's: the order in which its parts are read."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from pathlib import Path as FilePath

import msgspec

from portico.config.document import Document, Duplicate, Node, Scalar, Series, Table
from portico.config.files import included_files, read
from portico.config.litellm.budgets import carry_budgets
from portico.config.litellm.deployments import Deployment, read_deployments
from portico.config.litellm.ledger import Draft, Ledger
from portico.config.litellm.prefixes import ROWS
from portico.config.litellm.routing import NEAREST, STRATEGIES, Groups
from portico.config.litellm.settings import GENERAL, KNOWN, LITELLM, ROUTER, SECTIONS, TOP
from portico.config.litellm.values import Values, decimal_text
from portico.config.problems import Path, Problem, Report, safe, spelled

_SIGNS = frozenset({"model_list", "litellm_settings", "router_settings", "general_settings"})
_OWN = frozenset({"providers", "models", "server", "keys"})


class Imported(msgspec.Struct, frozen=True):
    """What a litellm configuration became.

    `root` is the new configuration, with `${NAME}` for what came from the environment. `carried` says where each value
    went, by its path in `merged`, which is the document with its includes; `left_out` is everything else.
    """

    root: Table
    merged: Table
    carried: dict[Path, Path]
    left_out: tuple[Problem, ...]
    files: tuple[str, ...]

    def moves(self) -> list[tuple[str, str]]:
        """Return where each carried value went, both as paths for people."""
        return [(spelled(path), spelled(to)) for path, to in self.carried.items() if to]


def recognised(document: Document) -> bool:
    """Whether a document is a litellm configuration, and not one of Portico's."""
    root = document.root
    return isinstance(root, Table) and bool(_SIGNS & root.rows.keys()) and not _OWN & root.rows.keys()


def convert(
    document: Document,
    file: str,
    environ: Mapping[str, str],
    report: Report,
    catalog: Collection[str] | None = None,
) -> Imported:
    """Convert a document that is `recognised`; files that cannot be read are errors of `report`.

    The environment is looked into only where a name must be known (a model in a variable, a catch-all's providers).
    """
    assert isinstance(document.root, Table)
    files = [file]
    merged = Table(dict(document.root.rows), dict(document.root.keys), document.root.place)
    ledger = Ledger(merged, report)
    _lost(document.duplicates, ledger)
    _include(merged, environ, report, ledger, files)
    values = Values(merged, environ, ledger)
    draft = Draft(merged.place)
    conversion = _Conversion(merged, values, ledger, draft)
    conversion.run(catalog)
    return Imported(draft.node(), merged, ledger.carried, tuple(ledger.close()), tuple(files))


def _lost(duplicates: list[Duplicate], ledger: Ledger) -> None:
    for twice in duplicates:
        reason = f"the key {safe(twice.key)!r} stands again on line {twice.second.line}, and litellm takes the last"
        ledger.lost(twice.lost, (*twice.path, twice.key), twice.first, reason)


def _include(root: Table, environ: Mapping[str, str], report: Report, ledger: Ledger, files: list[str]) -> None:
    if "include" not in root.rows:
        return
    for index, (name, place) in enumerate(included_files(root.rows["include"], environ, report)):
        ledger.carry(("include", index), ())
        if name in files or FilePath(name).resolve() == FilePath(files[0]).resolve():
            report.error(
                place, ("include", index), f"{safe(name)!r} is already part of this configuration", reveal=True
            )
            continue
        files.append(name)
        document = read(name, report)
        if document is None:
            continue
        _lost(document.duplicates, ledger)
        if not isinstance(document.root, Table):
            report.error(document.root.place, (), "a configuration is a table of keys")
            continue
        for key, node in document.root.rows.items():
            mine = root.rows.get(key)
            if key == "include":
                ledger.lost(
                    node, (key,), document.root.keys[key], "litellm does not follow an include of an included file"
                )
            elif isinstance(mine, Series) and isinstance(node, Series):
                root.rows[key] = Series([*mine.items, *node.items], mine.place)
            else:
                if mine is not None:
                    reason = (
                        f"the included {safe(FilePath(name).name)!r} sets {safe(key)!r} too, and litellm takes that"
                    )
                    ledger.lost(mine, (key,), root.keys[key], reason)
                root.rows[key] = node
                root.keys[key] = document.root.keys[key]
    if isinstance(root.rows["include"], Scalar):
        ledger.carry(("include",), ())


class _Conversion:
    def __init__(self, root: Table, values: Values, ledger: Ledger, draft: Draft) -> None:
        self.root = root
        self.values = values
        self.ledger = ledger
        self.draft = draft
        self.sections: dict[str, Table] = {}
        for name in ("router_settings", "litellm_settings", "general_settings"):
            node = root.rows.get(name)
            self.sections[name] = node if isinstance(node, Table) else Table({}, {}, root.place)

    def run(self, catalog: Collection[str] | None) -> None:
        """Draft the new configuration, in the order in which a person would read it."""
        self._master_key()
        catch_all = self._catch_all()
        deployments = read_deployments(self.root, self.values, self.ledger, catalog, catch_all)
        self._providers(deployments)
        if catch_all:
            self._from_environment(catalog)
        groups = Groups(deployments, self.ledger, self.values)
        self._routing(groups)
        if groups.groups:
            groups.write(self.draft.table("models"))
        self._prices(deployments)
        self._budgets(deployments)
        self._retries()
        self._timeouts()
        self._rest()

    def _section(self, name: str, key: str) -> tuple[Node | None, Path]:
        return self.sections[name].rows.get(key), (name, key)

    # The server's key

    def _master_key(self) -> None:
        node, path = self._section("general_settings", "master_key")
        to: Path = ("server", "master_key")
        written = self.values.written(node, to) if node is not None else None
        if written is not None:
            self.ledger.carry(path, to)
        else:
            written = self.values.default_key("LITELLM_MASTER_KEY", to)
        if written is None and "LITELLM_MASTER_KEY" in self.values.environ:
            written = Scalar("${LITELLM_MASTER_KEY}", self.root.place)
        server = self.draft.table("server", written.place if written is not None else self.root.place)
        if written is not None and written.text:
            server.rows["master_key"] = written
        # Who reads a reply of LiteLLM's reads them there.
        server.rows["litellm_headers"] = Scalar("true", self.root.place, plain=True)

    # Providers and models

    def _catch_all(self) -> set[int]:
        """Take the entry `"*": "*"` out: any `provider/model` is callable here without one."""
        models = self.root.rows.get("model_list")
        found: set[int] = set()
        for index, entry in enumerate(models.items if isinstance(models, Series) else []):
            params = entry.rows.get("litellm_params") if isinstance(entry, Table) else None
            if not isinstance(entry, Table) or not isinstance(params, Table):
                continue
            model, name = params.rows.get("model"), entry.rows.get("model_name")
            catches = self.values.known(model) in ("*", "*/*") and self.values.known(name) in ("*", "*/*")
            if catches and "custom_llm_provider" not in params.rows:
                found.add(index)
                path: Path = ("model_list", index)
                reason = "`provider/model` is callable without an entry, for every provider under `providers`"
                self.ledger.leave(path, f"{reason}; those with a key in the environment are added there")
        return found

    def _providers(self, deployments: list[Deployment]) -> None:
        for deployment in deployments:
            credential = deployment.credential
            draft = self.draft.table("providers").table(credential.name, credential.place)
            if credential.name != credential.row.name and "like" not in draft.rows:
                draft.rows["like"] = Scalar(credential.row.name, credential.place)
            for field, scalar in credential.fields.items():
                (draft.table(field[0]) if len(field) > 1 else draft).rows[field[-1]] = scalar
            for where, field in deployment.sources:
                self.ledger.carry(where, ("providers", credential.name, *field))
            if deployment.base is not None:
                base, where = deployment.base
                bases = draft.table("base_models").rows
                if isinstance(said := bases.setdefault(deployment.model, base), Scalar) and said.text == base.text:
                    self.ledger.carry(where, ("providers", credential.name, "base_models", deployment.model))
                else:
                    self.ledger.leave(where, "the same model is said to be another one before")

    def _from_environment(self, catalog: Collection[str] | None) -> None:
        providers = self.draft.table("providers")
        for row in dict.fromkeys(ROWS.values()):
            known = catalog is None or row.name in catalog
            if known and row.fixed and row.key in self.values.environ and row.name not in providers.rows:
                providers.table(row.name).rows["api_key"] = Scalar(f"${{{row.key}}}", self.root.place)

    def _prices(self, deployments: list[Deployment]) -> None:
        priced: dict[str, dict[str, Decimal]] = {}
        for deployment in deployments:
            if not deployment.prices:
                continue
            wanted = {field: price for field, (price, _) in deployment.prices.items()}
            target = deployment.target
            if target in priced:
                for field, (price, where) in deployment.prices.items():
                    if priced[target].get(field) == price:
                        self.ledger.carry(where, ("prices", target, field))
                    else:
                        self.ledger.leave(where, "the same target has another price before")
                continue
            priced[target] = wanted
            draft = self.draft.table("prices").table(target, deployment.credential.place)
            for field in ("input", "output"):
                if field not in wanted:
                    self.ledger.note(
                        deployment.path, f"it has a price, but none for {field}, which is taken to cost nothing"
                    )
            for field, price in {"input": Decimal(0), "output": Decimal(0), **wanted}.items():
                draft.rows[field] = Scalar(decimal_text(price), deployment.credential.place, plain=True)
            for field, (_, where) in deployment.prices.items():
                self.ledger.carry(where, ("prices", target, field))

    def _budgets(self, deployments: list[Deployment]) -> None:
        named: dict[str, list[str]] = {}
        for credential in (deployment.credential for deployment in deployments):
            names = named.setdefault(credential.row.name, [])
            if credential.name not in names:
                names.append(credential.name)
        carry_budgets(self.sections, named, self.values, self.ledger, self.draft)

    # Settings

    def _routing(self, groups: Groups) -> None:
        node, path = self._section("router_settings", "model_group_alias")
        if node is not None:
            groups.alias(node, path)
        for key, use in (("fallbacks", groups.fall_back), ("default_fallbacks", groups.default)):
            winner, where = self._winner([("router_settings", key), ("litellm_settings", key)])
            if winner is not None:
                use(winner, where)
        node, path = self._section("router_settings", "routing_strategy")
        if node is not None:
            strategy = self.values.known(node)
            if strategy is not None and strategy in STRATEGIES:
                groups.strategy = STRATEGIES[strategy]
                self.ledger.carry(path, ("models",))
                if strategy.startswith("usage-based"):
                    self.ledger.note(path, NEAREST)
            elif strategy is not None:
                self.ledger.leave(
                    path, f"the strategy {safe(strategy)!r} has no counterpart; targets are drawn by weight"
                )

    def _winner(self, candidates: list[tuple[str, str]]) -> tuple[Node | None, Path]:
        """Return the first that is set; the others have no effect, and the ledger says so."""
        present = [(node, path) for section, key in candidates for node, path in [self._section(section, key)] if node]
        for _, path in present[1:]:
            self.ledger.leave(path, f"`{present[0][1][0]}.{present[0][1][1]}` wins over it")
        return present[0] if present else (None, ())

    def _retries(self) -> None:
        node, path = self._winner([("router_settings", "num_retries"), ("litellm_settings", "num_retries")])
        if node is None:
            return
        number = self.values.number(node)
        if number is None or number != int(number):
            self.ledger.leave(path, "expected a whole number")
            return
        attempts = min(int(number) + 1, 10)
        if attempts != number + 1:
            self.ledger.note(path, "a target is tried at most ten times")
        rows = self.draft.table("retries", node.place).rows
        rows["attempts"] = Scalar(str(attempts), node.place, plain=True)
        self.ledger.carry(path, ("retries", "attempts"))

    def _timeouts(self) -> None:
        node, path = self._winner([("router_settings", "timeout"), ("litellm_settings", "request_timeout")])
        to: Path = ("timeouts", "total")
        written = self.values.written(node, to) if node is not None else None
        if node is None or written is None:
            return
        self.draft.table("timeouts", written.place).rows["total"] = written
        self.ledger.carry(path, to)

    # Everything else

    def _rest(self) -> None:
        for key in self.root.rows:
            if key in SECTIONS:
                self.ledger.leave((key,), SECTIONS[key])
            elif key not in TOP:
                self.ledger.leave((key,), f"litellm does not read this section{self.ledger.nearest(key, TOP)}")
        reasons = {"router_settings": ROUTER, "litellm_settings": LITELLM, "general_settings": GENERAL}
        for name, section in self.sections.items():
            for key in section.rows:
                if key in reasons[name]:
                    self.ledger.leave((name, key), reasons[name][key])
                elif key not in KNOWN[name]:
                    self.ledger.leave((name, key), self._stray(name, key))
        for name in self.values.own:
            path = ("environment_variables", name)
            if path not in self.ledger.carried:
                self.ledger.leave(path, "nothing that is carried over reads this variable; set it in the environment")

    def _stray(self, section: str, key: str) -> str:
        homes = [name for name, known in KNOWN.items() if key in known and name != section]
        if key in TOP:
            return f"litellm ignores it here; {key!r} is a section of its own"
        if homes:
            return f"litellm ignores it here; it belongs in `{homes[0]}`"
        return f"litellm is not known to read it here{self.ledger.nearest(key, KNOWN[section])}"
