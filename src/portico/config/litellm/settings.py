"""What litellm's settings are, and why those that are not carried over are not; the words are in `settings.toml`."""

import tomllib
from importlib.resources import files
from typing import Final

_DATA: Final = tomllib.loads(files(__package__).joinpath("settings.toml").read_text(encoding="utf-8"))


def _reasons(section: str) -> dict[str, str]:
    return {key: entry["reason"] for entry in _DATA[section] for key in entry["keys"].split()}


ROUTER: Final = _reasons("router_settings")
LITELLM: Final = _reasons("litellm_settings")
GENERAL: Final = _reasons("general_settings")
SECTIONS: Final = _reasons("sections")
DEPLOYMENT: Final = _reasons("litellm_params")
MODEL_INFO: Final = _reasons("model_info")
"""Besides `supports_…`, which say what a model can do and come from the catalog."""

_BUDGETS = {"max_budget", "budget_duration", "max_end_user_budget"}
_ROUTER = {"routing_strategy", "timeout", "model_group_alias", "provider_budget_config"}
_ROUTING = {"num_retries", "fallbacks", "default_fallbacks"}

KNOWN: Final[dict[str, frozenset[str]]] = {
    "litellm_settings": frozenset(LITELLM) | _ROUTING | {"request_timeout"} | _BUDGETS,
    "router_settings": frozenset(ROUTER) | _ROUTING | _ROUTER,
    "general_settings": frozenset(GENERAL) | {"master_key"},
}
"""Every key that litellm is known to read, by section."""

TOP: Final = (
    frozenset(SECTIONS)
    | frozenset(KNOWN)
    | {
        "include",
        "model_list",
        "credential_list",
        "environment_variables",
    }
)
"""Every section that litellm is known to read."""
