"""litellm's `model_list`: each entry is a model at a provider, with a credential of its own."""

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Final

import msgspec

from portico.config.document import Node, Scalar, Series, Table
from portico.config.litellm.ledger import Ledger
from portico.config.litellm.prefixes import ROWS, Row, guess
from portico.config.litellm.settings import DEPLOYMENT, MODEL_INFO
from portico.config.litellm.values import Values
from portico.config.problems import Path, Place, safe

Field = tuple[str, ...]

_AWS = {
    "aws_access_key_id": "access_key_id",
    "aws_external_id": "external_id",
    "aws_profile_name": "profile",
    "aws_region_name": "region",
    "aws_role_name": "role_arn",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_name": "role_session_name",
    "aws_session_token": "session_token",
    "region_name": "region",
}
_ENTRA = {"client_id": "client_id", "client_secret": "client_secret", "tenant_id": "tenant_id"}

OPTIONS: Final[dict[str, dict[str, str]]] = {
    "azure": {"api_version": "api_version", **_ENTRA},
    "azure_ai": _ENTRA,
    "azure_anthropic": _ENTRA,
    "bedrock": _AWS,
    "vertex": {"vertex_credentials": "credentials", "vertex_location": "location", "vertex_project": "project"},
}
"""By row: litellm's name of a setting, and ours under `options`."""

_OPTION_NAMES: Final = frozenset(name for options in OPTIONS.values() for name in options)

PRICES: Final[dict[str, str]] = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
}

_BEDROCK_ROUTES = ("converse/", "converse_like/", "invoke/")
_REGION = re.compile(r"((?:us|eu|ap|sa|ca|me|af|il|mx)-(?:gov-)?[a-z]+-[0-9])/(.+)\Z")
_AZURE_PATH = re.compile(r"/(?:openai|anthropic|models)(?:/.*)?\Z")


class Credential(msgspec.Struct):
    """One way to reach a provider: what makes two deployments the same provider of the new configuration."""

    row: Row
    place: Place
    fields: dict[Field, Scalar] = msgspec.field(default_factory=dict)
    name: str = ""

    def identity(self) -> tuple[object, ...]:
        """Return what is equal for equal credentials."""
        return (self.row.name, tuple(sorted((field, scalar.text) for field, scalar in self.fields.items())))

    def elsewhere(self) -> bool:
        """Whether this is an endpoint of the user's own, and not the provider's public address."""
        return self.row.fixed and ("base_url",) in self.fields


class Deployment(msgspec.Struct):
    """One entry that can be carried over. `sources` says which of litellm's values went into which of our fields."""

    path: Path
    group: str
    model: str
    credential: Credential
    sources: list[tuple[Path, Field]] = msgspec.field(default_factory=list)
    weight: Decimal | None = None
    share: dict[str, Decimal] = msgspec.field(default_factory=dict)
    order: Decimal | None = None
    timeout: Scalar | None = None
    params: dict[str, Path] = msgspec.field(default_factory=dict)
    prices: dict[str, tuple[Decimal, Path]] = msgspec.field(default_factory=dict)
    base: tuple[Scalar, Path] | None = None

    @property
    def target(self) -> str:
        """`provider/model`, once the credential has its name."""
        return f"{self.credential.name}/{self.model}"


class Params(msgspec.Struct):
    """The parameters of an entry, those of its named credential included, each with the path where it stands."""

    rows: dict[str, tuple[Node, Path]]


def read_deployments(
    root: Table, values: Values, ledger: Ledger, catalog: Collection[str] | None, skip: Collection[int]
) -> list[Deployment]:
    """Return the entries that can be carried over, without those to `skip`; the ledger has the others."""
    reader = _Reader(root, values, ledger, catalog)
    found: list[Deployment] = []
    models = root.rows.get("model_list")
    if not isinstance(models, Series):
        if models is not None:
            ledger.leave(("model_list",), "it is not a list")
        models = Series([], root.place)
    for index, entry in enumerate(models.items):
        if index not in skip:
            found += reader.entry(entry, ("model_list", index))
    reader.unused_credentials()
    name_credentials(found)
    return found


def name_credentials(deployments: list[Deployment]) -> None:
    """Give every distinct credential a provider's name: the row's own for the first at its usual place."""
    taken: dict[str, Credential] = {}
    named: dict[tuple[object, ...], str] = {}
    for deployment in deployments:
        credential = deployment.credential
        identity = credential.identity()
        if identity not in named:
            row = credential.row.name
            usual = row not in taken and not credential.elsewhere()
            named[identity] = name = row if usual else _unused(row, _hint(credential), taken)
            taken[name] = credential
        credential.name = named[identity]


def _unused(row: str, hint: str, taken: Collection[str]) -> str:
    name = f"{row}-{hint}"[:60].rstrip("-.")
    if hint and name not in taken:
        return name
    return next(f"{name}-{n}" for n in range(2, len(taken) + 3) if f"{name}-{n}" not in taken)


def _hint(credential: Credential) -> str:
    """Say shortly what is particular to a credential: a host, a region, the name of its key's variable."""
    url = credential.fields.get(("base_url",))
    if url is not None and (match := re.match(r"https?://([A-Za-z0-9.-]+)(?::([0-9]+))?", url.text)):
        host, port = match[1].lower(), match[2]
        if host == "localhost" or not re.search(r"[a-z]", host) or "." not in host:
            return f"{host}-{port}" if port else host
        return host.removeprefix("api.").removeprefix("www.").split(".")[0]
    for field in (("base_url",), ("api_key",), ("options", "region"), ("options", "location"), ("options", "profile")):
        scalar = credential.fields.get(field)
        if scalar is None:
            continue
        if match := re.match(r"\$\{(\w+)\}", scalar.text):
            row = credential.row.name.replace("_", "")
            words = [w for w in match[1].lower().split("_") if w not in ("api", "key", "base", "url", row, "")]
            if words:
                return "-".join(words)
        elif field[0] == "options" and re.fullmatch(r"[A-Za-z0-9.-]+", scalar.text):
            return scalar.text.lower()
    return ""


class _Reader:
    def __init__(self, root: Table, values: Values, ledger: Ledger, catalog: Collection[str] | None) -> None:
        self.values = values
        self.ledger = ledger
        self.catalog = catalog
        self.credentials: dict[str, tuple[Table, Path]] = {}
        self.used: set[str] = set()
        self._read_credentials(root.rows.get("credential_list"))

    def _read_credentials(self, node: Node | None) -> None:
        for index, entry in enumerate(node.items if isinstance(node, Series) else []):
            path: Path = ("credential_list", index)
            rows = entry.rows if isinstance(entry, Table) else {}
            name, held = self.values.known(rows.get("credential_name")), rows.get("credential_values")
            if name is None or not isinstance(held, Table):
                self.ledger.leave(path, "it has no name or no values")
                continue
            self.credentials[name] = (held, (*path, "credential_values"))
            self.ledger.carry((*path, "credential_name"), ("providers",))
            if "credential_info" in rows:
                self.ledger.leave((*path, "credential_info"), "nothing here reads it")

    def unused_credentials(self) -> None:
        for name, (_, path) in self.credentials.items():
            if name not in self.used:
                self.ledger.leave(path, "no model uses this credential")

    def entry(self, entry: Node, path: Path) -> list[Deployment]:
        """Return the deployments of one entry: one, or one for each of its organizations."""
        if not isinstance(entry, Table) or not isinstance(entry.rows.get("litellm_params"), Table):
            self.ledger.leave(
                path, "an entry needs `model_name` and `litellm_params`; litellm cannot use this one either"
            )
            return []
        params = self._params(entry, path)
        group = self.values.known(entry.rows.get("model_name"))
        model = self.values.known(params.rows["model"][0]) if "model" in params.rows else None
        if group is None or model is None:
            self.ledger.leave(
                path, f"its `{'model' if group else 'model_name'}` is missing, or in a variable that is not set"
            )
            return []
        placed = self._place(model, params)
        if isinstance(placed, str):
            self.ledger.leave(path, placed)
            return []
        row, name, region = placed
        if "*" in model and group.count("*") != model.count("*"):
            self.ledger.leave(
                path, "the name and the model have not equally many `*`, so litellm sends what the caller wrote"
            )
            return []
        deployment = Deployment(path, group, name, Credential(row, entry.place))
        if region is not None:
            deployment.credential.fields["options", "region"] = Scalar(region, entry.place)
        for key, (node, where) in params.rows.items():
            self._param(deployment, key, node, where)
        self._beside(deployment, entry, path)
        self._default_key(deployment)
        return self._organizations(deployment, params)

    def _params(self, entry: Table, path: Path) -> Params:
        own = entry.rows["litellm_params"]
        assert isinstance(own, Table)
        rows = {key: (node, (*path, "litellm_params", key)) for key, node in own.rows.items()}
        if "litellm_credential_name" in rows:
            node, where = rows.pop("litellm_credential_name")
            name = self.values.known(node)
            if name in self.credentials:
                held, at = self.credentials[name]
                self.used.add(name)
                self.ledger.carry(where, ("providers",))
                for key, value in held.rows.items():
                    if key not in rows:
                        rows[key] = (value, (*at, key))
                    else:
                        self.ledger.note((*at, key), f"entry {path[-1]} of `model_list` sets its own instead")
            else:
                hint = self.ledger.nearest(name or "", self.credentials)
                self.ledger.leave(where, f"no credential in `credential_list` has this name{hint}")
        return Params(rows)

    def _place(self, model: str, params: Params) -> tuple[Row, str, str | None] | str:
        """Return the row, the model's name there and a region in it, or why there is none."""
        prefix, slash, rest = model.partition("/")
        given = (
            self.values.known(params.rows["custom_llm_provider"][0]) if "custom_llm_provider" in params.rows else None
        )
        if given is not None:
            rest = rest if prefix == given and slash else model
            prefix = given
        elif prefix not in ROWS or not slash:
            guessed = guess(model)
            if guessed is None:
                hint = (
                    self.ledger.nearest(prefix, ROWS)
                    if slash
                    else "; litellm would need a prefix too, as in `openai/…`"
                )
                return f"Portico does not know litellm's provider {safe(prefix)!r}{hint}"
            where = params.rows["model"][1]
            self.ledger.note(where, f"it names no provider; taken for {guessed!r}, as litellm does")
            prefix, rest = guessed, model
        row = ROWS.get(prefix)
        if row is None:
            return f"Portico does not know litellm's provider {safe(prefix)!r}{self.ledger.nearest(prefix, ROWS)}"
        if self.catalog is not None and row.name not in self.catalog:
            return f"the provider {row.name!r} is not in Portico's catalog"
        region = None
        if row.name == "azure_ai" and rest.startswith("claude-"):
            row = Row("azure_anthropic", row.key, fixed=False)
        if row.name == "bedrock":
            rest = next((rest.removeprefix(route) for route in _BEDROCK_ROUTES if rest.startswith(route)), rest)
            if match := _REGION.match(rest):
                region, rest = match[1], match[2]
        elif row.name in ("openai", "azure") and rest.startswith("responses/"):
            rest = rest.removeprefix("responses/")
            self.ledger.note(
                params.rows["model"][1], "`responses/` calls another endpoint; here the caller's own endpoint is kept"
            )
        elif row.name == "azure" and rest.startswith("o_series/"):
            rest = rest.removeprefix("o_series/")
        return (row, rest, region) if rest else f"the model {safe(model)!r} has no name"

    def _param(self, deployment: Deployment, key: str, node: Node, where: Path) -> None:
        fields = deployment.credential.fields
        options = OPTIONS.get(deployment.credential.row.name, {})
        if key in ("model", "custom_llm_provider") or (key == "organization" and isinstance(node, Series)):
            deployment.params[key] = where
        elif key in ("headers", "extra_headers") and isinstance(node, Table):
            for name, value in node.rows.items():
                self._field(deployment, ("headers", name), value, (*where, name))
        elif key in ("api_base", "base_url", "aws_bedrock_runtime_endpoint"):
            self._field(deployment, ("base_url",), node, where)
            self._address(deployment, where)
        elif key in ("api_key", "organization"):
            self._field(
                deployment, ("api_key",) if key == "api_key" else ("headers", "openai-organization"), node, where
            )
        elif key in options and ("options", options[key]) not in fields:
            self._field(deployment, ("options", options[key]), node, where)
        elif key in PRICES:
            self._price(deployment, key, node, where)
        elif key in ("weight", "rpm", "tpm", "order"):
            self._share(deployment, key, node, where)
        elif key == "timeout":
            deployment.timeout = self.values.written(node, ("models", deployment.group))
            deployment.params[key] = where
        elif key in options:
            self.ledger.leave(where, f"`{options[key]}` is already set by another parameter")
        elif key in _OPTION_NAMES:
            self.ledger.leave(where, f"the provider {deployment.credential.row.name!r} has no such setting")
        else:
            self.ledger.leave(where, self._why(key, DEPLOYMENT))

    def _field(self, deployment: Deployment, field: Field, node: Node, where: Path) -> None:
        written = self.values.written(node, ("providers",))
        if written is None:
            if isinstance(node, Table | Series):
                self.ledger.leave(where, "expected one value; put it in a variable or a file")
            return
        if not written.text:
            self.ledger.leave(where, "it is empty")
            return
        deployment.credential.fields[field] = written
        deployment.sources.append((where, field))

    def _address(self, deployment: Deployment, where: Path) -> None:
        fields, row = deployment.credential.fields, deployment.credential.row
        url = fields.get(("base_url",))
        if url is None:
            return
        text = url.text.rstrip("/")
        if row.name in ("azure", "azure_ai", "azure_anthropic") and (match := _AZURE_PATH.search(text)):
            text = text[: match.start()]
            self.ledger.note(where, "only the resource's address is kept; the path follows from the call")
        fields["base_url",] = Scalar(text, url.place)

    def _price(self, deployment: Deployment, key: str, node: Node, where: Path) -> None:
        number = self.values.number(node)
        if number is None:
            self.ledger.leave(where, "a price is a number of dollars a token")
        elif "*" in deployment.model:
            self.ledger.leave(where, "a price needs a model's full name; write it under `prices`")
        elif PRICES[key] in deployment.prices:
            self.ledger.leave(where, "the price is already set by `litellm_params`")
        else:
            deployment.prices[PRICES[key]] = (number * 1_000_000, where)

    def _base(self, deployment: Deployment, node: Node, where: Path) -> None:
        """Read what a model with a name of its own is."""
        if not isinstance(node, Scalar) or not node.text:
            self.ledger.leave(where, "expected the name of a model")
        elif "*" in deployment.model:
            self.ledger.leave(where, "many models are not one")
        else:
            prefix, _, rest = node.text.partition("/")
            same = rest and ROWS.get(prefix) == deployment.credential.row
            deployment.base = Scalar(rest if same else node.text, node.place), where

    def _share(self, deployment: Deployment, key: str, node: Node, where: Path) -> None:
        number = self.values.number(node)
        if number is None:
            self.ledger.leave(where, "expected a number")
            return
        deployment.params[key] = where
        if key == "order":
            deployment.order = number
        elif key == "weight":
            deployment.weight = number
        elif key not in deployment.share:
            deployment.share[key] = number

    def _beside(self, deployment: Deployment, entry: Table, path: Path) -> None:
        """Account for what stands beside `litellm_params`."""
        for key, node in entry.rows.items():
            where = (*path, key)
            if key == "model_info" and isinstance(node, Table):
                for name, value in node.rows.items():
                    if name in PRICES:
                        self._price(deployment, name, value, (*where, name))
                    elif name == "base_model":
                        self._base(deployment, value, (*where, name))
                    else:
                        self.ledger.leave((*where, name), self._why(name, MODEL_INFO))
            elif key in ("rpm", "tpm"):
                self.ledger.leave(where, "the limit is not carried over")
            elif key not in ("model_name", "litellm_params", "model_info"):
                belongs = (
                    key in _OPTION_NAMES
                    or key in PRICES
                    or key in DEPLOYMENT
                    or key in ("api_base", "api_key", "base_url")
                )
                reason = "litellm ignores it here; it belongs inside `litellm_params`" if belongs else None
                hint = self.ledger.nearest(key, ("model_name", "litellm_params", "model_info"))
                self.ledger.leave(where, reason or f"litellm does not read it{hint}")

    def _default_key(self, deployment: Deployment) -> None:
        credential = deployment.credential
        if ("api_key",) in credential.fields:
            return
        variable = credential.row.key
        if variable is None or (variable not in self.values.own and variable not in self.values.environ):
            return
        if credential.elsewhere():
            message = f"litellm would send {variable} there; if that is right, write it as the provider's `api_key`"
            self.ledger.note(deployment.path, message)
            return
        key = self.values.default_key(variable, ("providers",))
        credential.fields["api_key",] = key or Scalar(f"${{{variable}}}", credential.place)

    def _organizations(self, deployment: Deployment, params: Params) -> list[Deployment]:
        node, where = params.rows.get("organization", (None, ()))
        if not isinstance(node, Series):
            return [deployment]
        found: list[Deployment] = []
        for index, item in enumerate(node.items):
            credential = Credential(deployment.credential.row, item.place, dict(deployment.credential.fields))
            copy = msgspec.structs.replace(deployment, credential=credential, sources=list(deployment.sources))
            self._field(copy, ("headers", "openai-organization"), item, (*where, index))
            found.append(copy)
        return found or [deployment]

    def _why(self, key: str, reasons: dict[str, str]) -> str:
        if key in reasons:
            return reasons[key]
        if key.startswith("supports_"):
            return "what a model can do comes from the catalog"
        known = {
            *reasons,
            *_OPTION_NAMES,
            *PRICES,
            "api_base",
            "api_key",
            "timeout",
            "weight",
            "order",
            "extra_headers",
        }
        return f"it is not known here{self.ledger.nearest(key, known)}"
