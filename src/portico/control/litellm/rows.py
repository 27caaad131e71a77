"""Our objects as LiteLLM's replies have them."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from portico import __version__
from portico.config.declared import window
from portico.control.actors import matches, reach
from portico.control.admin import Look
from portico.control.litellm.by_model import by_model
from portico.control.litellm.fields import Plain, spent, stamp, their_tag, theirs
from portico.state import windows
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import Customer, Key, Membership, Organization, Team, Template, Thing, User
from portico.types import NANO

MOST = 500
"""Members, and keys, of a team that one reply tells of."""


CALL_TYPES = {
    "chat": "acompletion",
    "completions": "atext_completion",
    "embeddings": "aembedding",
    "messages": "anthropic_messages",
    "responses": "aresponses",
    "moderations": "amoderation",
    "images_generations": "aimage_generation",
    "images_edits": "aimage_edit",
    "audio_speech": "aspeech",
    "audio_transcriptions": "atranscription",
    "rerank": "arerank",
    "generate_content": "agenerate_content",
    "stream_generate_content": "agenerate_content_stream",
    "files_create": "acreate_file",
    "batches_create": "acreate_batch",
    "passthrough": "pass_through_endpoint",
}
"""What LiteLLM's log calls operations; others have their own names."""


def key_row(look: Look, key: Key, spend: float | None = None) -> Plain:
    """Return a key."""
    return {
        "token": key.id,
        "key_name": key.prefix,
        "key_alias": key.name or None,
        "spend": spent(look, "key", key.id) if spend is None else spend,
        "expires": stamp(key.expires),
        "models": list(key.models),
        "aliases": key.aliases,
        "config": {},
        "permissions": {},
        "allowed_routes": list(key.routes),
        "allowed_passthrough_routes": [f"/{name}" for name in key.passthrough],
        "model_spend": {},
        **by_model(look, "key", key.id),
        "user_id": key.user,
        "team_id": key.team,
        "organization_id": key.org,
        "budget_id": key.template,
        "metadata": key.metadata,
        "tags": [their_tag(tag) for tag in key.tags],
        "blocked": key.blocked,
        "created_at": stamp(key.created_at),
        "updated_at": stamp(key.updated_at),
        **theirs(key),
        "budget_reset_at": resets(look, key),
    }


def keys_of(look: Look, **where: str) -> list[Plain]:
    """Return the keys of a team or a user that the actor may see."""
    within = reach(look.actor, "key")
    found = rows.page(look.db, KINDS["key"], where, "", MOST)
    return [key_row(look, cast("Key", key)) for key in found if matches(within, key)]


def team_row(look: Look, team: Team) -> Plain:
    """Return a team with its members."""
    members = members_of(look, team.id)
    emails = {one.user: _user(look, one.user) for one in members}
    return {
        "team_id": team.id,
        "team_alias": team.name or None,
        "organization_id": team.org,
        "models": list(team.models),
        "model_aliases": team.aliases,
        "members_with_roles": [
            {
                "user_id": one.user,
                "user_email": user.email if (user := emails[one.user]) is not None else None,
                "role": "admin" if one.role == "team_admin" else "user",
            }
            for one in members
        ],
        "metadata": team.metadata,
        "blocked": team.blocked,
        "spend": spent(look, "team", team.id),
        "created_at": stamp(team.created_at),
        "updated_at": stamp(team.updated_at),
        **theirs(team),
        **by_model(look, "team", team.id),
        "budget_reset_at": resets(look, team),
    }


def members_of(look: Look, team: str) -> list[Membership]:
    """Return the members of a team; a key without a role, and a member, sees itself alone."""
    where = {"team": team}
    if look.actor.level in ("user", "key"):
        if look.actor.user is None:
            return []
        where["user"] = look.actor.user
    return [cast("Membership", one) for one in rows.page(look.db, KINDS["membership"], where, "", MOST)]


def membership_row(look: Look, membership: Membership) -> Plain:
    """Return a membership with its bounds."""
    return {
        "user_id": membership.user,
        "team_id": membership.team,
        "budget_id": membership.template,
        "litellm_budget_table": {**theirs(membership), "budget_reset_at": resets(look, membership)},
    }


def organization_row(look: Look, organization: Organization) -> Plain:
    """Return an organization with its members and teams."""
    where = {"org": organization.id}
    users = [cast("User", one) for one in rows.page(look.db, KINDS["user"], where, "", MOST)]
    teams = [cast("Team", one) for one in rows.page(look.db, KINDS["team"], where, "", MOST)]
    return {
        "organization_id": organization.id,
        "organization_alias": organization.name or None,
        "budget_id": organization.template,
        "models": list(organization.models),
        "metadata": organization.metadata,
        "blocked": organization.blocked,
        "spend": spent(look, "org", organization.id),
        "created_at": stamp(organization.created_at),
        "updated_at": stamp(organization.updated_at),
        "litellm_budget_table": {"budget_id": organization.template, **theirs(organization)}
        | {"budget_reset_at": resets(look, organization)},
        "members": [
            {"user_id": one.id, "user_email": one.email, "organization_id": organization.id}
            | {"user_role": "internal_user"}
            for one in users
        ],
        "teams": [{"team_id": one.id, "team_alias": one.name or None, "models": list(one.models)} for one in teams],
    }


def user_row(look: Look, user: User, spend: float | None = None) -> Plain:
    """Return a user."""
    return {
        "user_id": user.id,
        "user_alias": user.name or None,
        "user_email": user.email,
        "user_role": None,
        "organization_id": user.org,
        "models": list(user.models),
        "metadata": user.metadata,
        "spend": spent(look, "user", user.id) if spend is None else spend,
        "created_at": stamp(user.created_at),
        "updated_at": stamp(user.updated_at),
        **theirs(user),
        **by_model(look, "user", user.id),
        "budget_reset_at": resets(look, user),
    }


def customer_row(look: Look, customer: Customer) -> Plain:
    """Return a customer."""
    has = customer.template is not None or customer.limits or customer.budgets
    return {
        "user_id": customer.id,
        "alias": customer.name or None,
        "blocked": customer.blocked,
        "spend": spent(look, "customer", customer.id),
        "allowed_model_region": None,
        "default_model": None,
        "litellm_budget_table": {"budget_id": customer.template, **theirs(customer)} if has else None,
    }


def budget_row(look: Look, template: Template) -> Plain:
    """Return bounds by a name."""
    return {
        "budget_id": template.id,
        "created_at": stamp(template.created_at),
        "updated_at": stamp(template.updated_at),
        **theirs(template),
        "budget_reset_at": resets(look, template),
    }


def log_row(record: Any) -> Plain:
    """Return a call, as a row of the log."""
    usage = record.usage
    start = rows.time(record.time_ms)
    return {
        "request_id": record.id,
        "call_type": CALL_TYPES.get(record.operation, record.operation),
        "api_key": record.key,
        "user": record.user,
        "team_id": record.team,
        "organization_id": record.org,
        "end_user": record.customer,
        "model": record.target or record.model,
        "model_group": record.model,
        "custom_llm_provider": (record.target or "").partition("/")[0] or None,
        "spend": (record.cost_nano_usd or 0) / NANO,
        "prompt_tokens": usage.input_total if usage is not None else 0,
        "completion_tokens": usage.output_total if usage is not None else 0,
        "total_tokens": usage.total if usage is not None else 0,
        "startTime": stamp(start),
        "completionStartTime": stamp(start + timedelta(microseconds=record.first_byte_us or record.total_us)),
        "request_duration_ms": record.total_us // 1000,
        "session_id": record.session,
        "endTime": stamp(start + timedelta(microseconds=record.total_us)),
        "status": "success" if record.status < 400 else "failure",
        "cache_hit": "False",
        "request_tags": [their_tag(tag) for tag in record.tags],
        "metadata": {
            "user_api_key": record.key,
            "user_api_key_end_user_id": record.customer,
            "user_api_key_user_id": record.user,
            "user_api_key_team_id": record.team,
            "user_api_key_org_id": record.org,
            "portico_version": __version__,
            "basis": record.basis,
            "pricing": record.pricing,
        },
    }


def resets(look: Look, thing: Thing) -> str | None:
    """Return when an object's budget of money begins anew, None where there is none or it never does."""
    for budget in getattr(thing, "budgets", ()):
        if budget.usd is not None and budget.mode != "soft" and budget.per != "forever" and not budget.rolling:
            _, end = windows.span(window(budget.per, zone=budget.zone), look.admin.now_ms() * 1_000_000)
            return stamp(datetime.fromtimestamp(end / 1e9, UTC))
    return None


def _user(look: Look, id: str) -> User | None:  # noqa: A002  # the word of every API
    found = look.admin.find_any(look.db, "user", id)
    return found if isinstance(found, User) else None
