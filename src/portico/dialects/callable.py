"""The names of all that can be called, as the `routes` of a key have them."""

from portico.config.problems import nearest
from portico.config.schema import Config
from portico.dialects.objects import THINGS
from portico.dialects.operations import OPERATIONS


def unknown(name: str) -> str | None:
    """Return what is wrong with a name, None for one that something has."""
    if name in OPERATIONS or name in THINGS:
        return None
    known = (*OPERATIONS, *THINGS)
    last = name.rstrip("/").rpartition("/")[2]
    hint = nearest(name, known) or nearest(last, known) or "; write names such as `chat`, `embeddings`, `files_create`"
    return f"nothing that can be called has this name{hint}"


def wrong_names(config: Config) -> list[tuple[tuple[str | int, ...], str]]:
    """Return where keys name routes that there are not, and what is wrong with each."""
    found = (
        (("keys", name, "routes", place), unknown(route))
        for name, key in config.keys.items()
        for place, route in enumerate(key.routes)
    )
    return [(path, why) for path, why in found if why is not None]
