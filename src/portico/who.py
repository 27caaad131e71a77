"""Who calls, as every call asks: what is read once of the entry of a key, and lies together."""

from portico.rules import Holder
from portico.state.contract import Under


class Who:
    """What calls want to know of who holds their key, field by field as in `Holder`.

    `changes` says that the key has fields of its own for requests. `under` is what the last of its calls was under that
    was told apart by nothing but model and target; `told` is what a permit says of who called, encoded, once it is
    asked for (`stages.admit`).
    """

    __slots__ = (
        "aliases", "bodies", "changes", "default_max_tokens", "holder", "id", "markup", "models", "org", "rules",
        "tags", "team", "told", "under", "user",
    )  # fmt: skip

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self.id = holder.id
        self.team = holder.team
        self.org = holder.org
        self.user = holder.user
        self.markup = holder.markup
        self.tags = holder.tags
        self.rules = holder.rules
        self.models = holder.models
        self.aliases = holder.aliases
        self.bodies = holder.bodies
        self.changes = bool(holder.defaults or holder.enforced)
        self.default_max_tokens = holder.default_max_tokens
        self.under: Under | None = None
        self.told: bytes | None = None

    def __repr__(self) -> str:
        return f"<Who holds {self.id}>"
