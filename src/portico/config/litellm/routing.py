"""How litellm chooses among deployments, as ordered and weighted targets."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from portico.config.document import Node, Scalar, Series, Table
from portico.config.litellm.deployments import Deployment
from portico.config.litellm.ledger import Draft, Ledger
from portico.config.litellm.values import Values, decimal_text
from portico.config.problems import Path, Place, safe
from portico.config.wildcard import Patterns

STRATEGIES: Final[Mapping[str, str]] = {
    "simple-shuffle": "weighted",
    "least-busy": "least_busy",
    "latency-based-routing": "lowest_latency",
    "cost-based-routing": "lowest_cost",
    "usage-based-routing": "least_busy",
    "usage-based-routing-v2": "least_busy",
}
"""litellm's `routing_strategy`, and ours."""
NEAREST: Final = (
    "litellm sends to the target that used the fewest tokens this minute; here the one with the fewest calls under way "
    "is taken, which comes nearest"
)
"""What is said of litellm's strategies that go by usage."""


class Choice(msgspec.Struct):
    """One target in the making. A weight of None: it is one of several equals, or the only one."""

    model: str
    weight: Decimal | None
    timeout: Scalar | None
    place: Place
    first: bool = True
    deployment: Deployment | None = None
    also: list[Deployment] = msgspec.field(default_factory=list)


class Group(msgspec.Struct):
    """A model name and its targets, the fall-backs last."""

    name: str
    choices: list[Choice]
    fallbacks: list[tuple[Choice, Path]] = msgspec.field(default_factory=list)


class Groups:
    """All model names of the new configuration."""

    def __init__(self, deployments: list[Deployment], ledger: Ledger, values: Values) -> None:
        self.ledger = ledger
        self.values = values
        self.strategy = "weighted"
        self.groups: dict[str, Group] = {}
        members: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            members.setdefault(deployment.group, []).append(deployment)
        for name, group in members.items():
            self.groups[name] = Group(name, self._choices(group))
        self.aliases: dict[str, str] = {}

    def _choices(self, group: list[Deployment]) -> list[Choice]:
        weights = self._weights(group)
        orders = sorted({d.order for d in group if d.order is not None})
        first = orders[0] if orders else None
        chosen: dict[str, Choice] = {}
        ranked = sorted(group, key=lambda d: (d.order is None, d.order or 0)) if orders else group
        tiers = {d.order for d in group}
        for deployment in ranked:
            weight = weights.get(id(deployment))
            leads = deployment.order == first
            if not leads and len(tiers) < len(group) and weight is not None:
                self.ledger.note(
                    deployment.path, "weights count in the first tier only; here the order of the list does"
                )
            same = chosen.get(deployment.target)
            if same is not None:
                same.also.append(deployment)
                same.weight = same.weight + weight if same.weight is not None and weight is not None else same.weight
                self.ledger.note(
                    deployment.path, "the same target stands here before; the two are one, with both weights"
                )
                continue
            chosen[deployment.target] = Choice(
                deployment.target,
                weight if leads else None,
                deployment.timeout,
                deployment.credential.place,
                leads,
                deployment,
            )
        return list(chosen.values())

    def _weights(self, group: list[Deployment]) -> dict[int, Decimal]:
        """Return the weights that litellm's shuffle would use: `weight`, else `rpm`, else `tpm`."""
        if any(d.weight is not None for d in group):
            found = {id(d): d.weight if d.weight is not None else Decimal(0) for d in group}
            absent = [d for d in group if d.weight is None]
        else:
            key = next((k for k in ("rpm", "tpm") if len(group) > 1 and any(k in d.share for d in group)), None)
            found = {id(d): d.share.get(key, Decimal(0)) for d in group} if key is not None else {}
            absent = [d for d in group if key is not None and key not in d.share]
        for deployment in absent:
            self.ledger.note(deployment.path, "others of its name have a share and it has none: it comes after them")
        used = "weight" if any(d.weight is not None for d in group) else None
        for deployment in group:
            for name in ("rpm", "tpm"):
                if name in deployment.share:
                    share = (
                        used is None and found and name == ("rpm" if any("rpm" in d.share for d in group) else "tpm")
                    )
                    what = "the limit is not carried over" + (
                        "; as a share it is, as the target's weight" if share else ""
                    )
                    self.ledger.leave(deployment.params[name], what)
        return found if any(weight > 0 for weight in found.values()) else {}

    def resolve(self, name: str) -> list[Choice] | None:
        """Return the targets that a model name leads to; None where litellm would find no model."""
        seen: set[str] = set()
        while name in self.aliases and name not in seen:
            seen.add(name)
            name = self.aliases[name]
        if name in self.groups:
            return self.groups[name].choices
        match = Patterns(self.groups).find(name)
        if match is None:
            return None
        found: list[Choice] = []
        for choice in self.groups[match.pattern].choices:
            found.append(msgspec.structs.replace(choice, model=match.fill(choice.model), deployment=None, also=[]))
        return found

    # Aliases

    def alias(self, node: Node, path: Path) -> None:
        """Read `model_group_alias`: another name for a model."""
        if not isinstance(node, Table):
            self.ledger.leave(path, "it is not a table of names")
            return
        for name, value in node.rows.items():
            where = (*path, name)
            inner = value.rows.get("model") if isinstance(value, Table) else value
            group = self.values.known(inner)
            if group is None:
                self.ledger.leave(where, "an alias is one model's name")
                continue
            if name in self.groups:
                self.ledger.leave(where, "a model of this name is in `model_list`")
                continue
            self.aliases[name] = group
            if (choices := self.resolve(name)) is None:
                del self.aliases[name]
                self.ledger.leave(where, f"no model is called {safe(group)!r}{self.ledger.nearest(group, self.groups)}")
                continue
            if any("*" in choice.model for choice in choices):
                del self.aliases[name]
                self.ledger.leave(where, "it stands for a pattern; name one model")
                continue
            copies = [msgspec.structs.replace(choice, deployment=None, also=[]) for choice in choices]
            self.groups[name] = Group(name, copies)
            leaf = (*where, "model") if isinstance(value, Table) else where
            self.ledger.carry(leaf, ("models", name))
            for extra in value.rows if isinstance(value, Table) else ():
                if extra != "model":
                    self.ledger.leave((*where, extra), "no name is hidden from a key that may call it")

    # Fall-backs

    def fall_back(self, node: Node, path: Path) -> None:
        """Read `fallbacks`: a list of `{model: [models]}`; a bare name in it holds for every model."""
        if isinstance(node, Table):
            self.ledger.note(path, "litellm expects a list of tables here")
            tables: list[tuple[Node, Path]] = [(node, path)]
        elif isinstance(node, Series):
            tables = [(item, (*path, index)) for index, item in enumerate(node.items)]
        else:
            self.ledger.leave(path, "it is not a list")
            return
        rows = [
            (key, value, (*at, key))
            for item, at in tables
            if isinstance(item, Table)
            for key, value in item.rows.items()
        ]
        for key, value, where in sorted(rows, key=lambda row: row[0] == "*"):
            self._fallbacks_of(key, value, where)
        for item, where in tables:
            if isinstance(item, Scalar):
                self.default(Series([item], item.place), where, whole=True)
            elif isinstance(item, Series):
                self.ledger.leave(where, "expected a table such as `{model: [others]}`")

    def default(self, node: Node, path: Path, *, whole: bool = False) -> None:
        """Read `default_fallbacks`: for every model that has none of its own."""
        if not isinstance(node, Series):
            self.ledger.leave(path, "it is not a list")
            return
        without = [group for group in self.groups.values() if not group.fallbacks]
        for index, item in enumerate(node.items):
            self._append(without, item, path if whole else (*path, index))

    def _fallbacks_of(self, key: str, value: Node, where: Path) -> None:
        groups = [g for g in self.groups.values() if not g.fallbacks] if key == "*" else self._named(key)
        if not groups:
            self.ledger.leave(where, f"no model is called {safe(key)!r}{self.ledger.nearest(key, self.groups)}")
            return
        for index, item in enumerate(value.items if isinstance(value, Series) else [value]):
            self._append(groups, item, (*where, index) if isinstance(value, Series) else where)

    def _named(self, key: str) -> list[Group]:
        if key in self.groups:
            return [self.groups[key]]
        bare = key.partition("/")[2]
        for name, group in self.groups.items():
            if name == bare or name.partition("/")[2] == key:
                return [group]
        if (choices := self.resolve(key)) is not None:
            # A model that only a pattern knows: it gets an entry of its own, to hang its fall-backs on.
            self.groups[key] = Group(key, [msgspec.structs.replace(c, deployment=None, also=[]) for c in choices])
            return [self.groups[key]]
        return []

    def _append(self, groups: list[Group], item: Node, path: Path) -> None:
        if isinstance(item, Table):
            self.ledger.leave(path, "a fall-back with parameters of its own; name a model with them instead")
            return
        name = self.values.known(item)
        choices = self.resolve(name) if name is not None else None
        if choices is None:
            hint = self.ledger.nearest(name or "", self.groups)
            self.ledger.leave(path, f"no model is called {safe(name or '')!r}{hint}")
            return
        if any("*" in choice.model for choice in choices):
            self.ledger.leave(path, "a pattern cannot be fallen back on; name one model")
            return
        if len(choices) > 1 and any(c.weight is not None for c in choices):
            self.ledger.note(path, "its targets are tried in order here; their weights count for its own name only")
        for group in groups:
            have = {choice.model for choice in group.choices} | {choice.model for choice, _ in group.fallbacks}
            for choice in choices:
                if choice.model not in have:
                    copy = msgspec.structs.replace(choice, first=False, weight=None, deployment=None, also=[])
                    group.fallbacks.append((copy, path))
        self.ledger.carry(path, ("models",))

    # Writing

    def write(self, models: Draft) -> None:
        """Draft every model; the ledger learns where each value went."""
        for group in self.groups.values():
            self._write(group, models)

    def _write(self, group: Group, models: Draft) -> None:
        choices = [*group.choices, *(choice for choice, _ in group.fallbacks)]
        if not choices:
            return
        leading = [choice for choice in group.choices if choice.first]
        several = len(leading) > 1
        inner = ""
        if several and self.strategy != "weighted" and len(leading) < len(choices):
            # Those that come after the others must not be ranked among them: the others get a name of their own.
            inner = f"{group.name}.balanced"
            if "*" in group.name or inner in self.groups:
                inner = ""
        weighted = several and (self.strategy == "weighted" or (len(leading) < len(choices) and not inner))
        draft = models.table(group.name, choices[0].place)
        if inner:
            place = choices[0].place
            within = models.table(inner, place)
            within.rows["strategy"] = Scalar(self.strategy, place)
            within.rows["targets"] = [self._target(choice) for choice in leading]
            for index, choice in enumerate(leading):
                self._account(choice, ("models", inner), ("models", inner, "targets", index))
            named = Draft(place)
            named.rows["model"] = Scalar(inner, place)
            after = [choice for choice in choices if choice not in leading]
            draft.rows["targets"] = [named, *(self._target(choice) for choice in after)]
            for index, choice in enumerate(after, 1):
                self._account(choice, ("models", group.name), ("models", group.name, "targets", index))
            return
        targets: list[Draft] = []
        for index, choice in enumerate(choices):
            weight: str | None = None
            if weighted and not choice.first:
                weight = "0"
            elif weighted and choice.weight is not None:
                weight = decimal_text(choice.weight)
            target = self._target(choice, weight)
            targets.append(target)
            self._account(choice, ("models", group.name), ("models", group.name, "targets", index))
        if several:
            draft.rows["strategy"] = Scalar("weighted" if weighted else self.strategy, choices[0].place)
        draft.rows["targets"] = targets

    def _target(self, choice: Choice, weight: str | None = None) -> Draft:
        target = Draft(choice.place)
        target.rows["model"] = Scalar(choice.model, choice.place)
        if weight is not None:
            target.rows["weight"] = Scalar(weight, choice.place, plain=True)
        if choice.timeout is not None:
            target.table("timeouts").rows["total"] = choice.timeout
        return target

    def _account(self, choice: Choice, model: Path, target: Path) -> None:
        for deployment in [d for d in (choice.deployment, *choice.also) if d is not None]:
            self.ledger.carry((*deployment.path, "model_name"), model)
            for key, where in deployment.params.items():
                if key == "model":
                    self.ledger.carry(where, (*target, "model"))
                elif key in ("custom_llm_provider", "order", "organization", "weight"):
                    self.ledger.carry(where, target)
                elif key == "timeout" and deployment is choice.deployment:
                    self.ledger.carry(where, (*target, "timeouts", "total"))
                elif key == "timeout":
                    self.ledger.leave(where, "the same target stands before, with its own deadline")
