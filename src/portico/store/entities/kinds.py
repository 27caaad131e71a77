"""The kinds of objects: what each is called, which of its fields have a column, and where ids of new ones begin."""

from collections.abc import Mapping
from typing import Final

import msgspec

from portico.store.entities.things import (
    BudgetRule,
    Credential,
    Customer,
    Key,
    LimitRule,
    Membership,
    Organization,
    PriceOverride,
    Tag,
    Team,
    Template,
    Thing,
    User,
)


class Kind(msgspec.Struct, frozen=True):
    """One kind. `columns` are the fields that queries select by; each refers to an object of that kind, if to any."""

    name: str
    plural: str
    struct: type[Thing]
    prefix: str
    columns: tuple[str, ...] = ()
    bounded: bool = True


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("organization", "organizations", Organization, "org", ("template",)),
        Kind("team", "teams", Team, "team", ("org", "template")),
        Kind("user", "users", User, "user", ("org", "template", "email")),
        Kind("membership", "memberships", Membership, "", ("team", "user", "template")),
        Kind("key", "keys", Key, "key", ("org", "team", "user", "template")),
        Kind("customer", "customers", Customer, "customer", ("template",)),
        Kind("tag", "tags", Tag, "tag", ("template",)),
        Kind("template", "templates", Template, "template", (), bounded=False),
        Kind("limit", "limits", LimitRule, "limit", (), bounded=False),
        Kind("budget", "budgets", BudgetRule, "budget", (), bounded=False),
        Kind("credential", "credentials", Credential, "cred", ("team", "provider"), bounded=False),
        Kind("price", "prices", PriceOverride, "price", ("model",), bounded=False),
    )
}

REFERENCES: Final[Mapping[str, str]] = {
    "org": "organization",
    "team": "team",
    "user": "user",
    "template": "template",
}
"""The field that refers to an object, and that object's kind."""
