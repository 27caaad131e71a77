"""What LiteLLM's management routes do, in the operations of the admin API."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from portico import __version__
from portico.control import keys
from portico.control.admin import Change, Look
from portico.control.litellm.fields import Plain, bounds, ours, seconds, spent, stamp, theirs
from portico.control.members import join
from portico.control.objects import alter, make, page, remove
from portico.control.observed import Calls, list_calls, read_call
from portico.control.problems import BadRequest, Unprocessable
from portico.control.replies import Page, patch
from portico.control.routing import Asked, converted
from portico.errors import NotFound
from portico.store import rollups
from portico.store.dimensions import Dimension
from portico.store.entities import rows
from portico.store.entities.kinds import KINDS
from portico.store.entities.things import Customer, Key, Membership, Team, Template, Thing, User
from portico.types import NANO

Does = Callable[[Any, Plain], Any]
KEY, TEAM, USER, CUSTOMER, TEMPLATE = (KINDS[name] for name in ("key", "team", "user", "customer", "template"))


# Keys


def key_generate(change: Change, said: Plain) -> Plain:
    """Make a key."""
    fields = ours("key", said, rows.time(change.at_ms))
    user = fields.get("user")
    if user is not None and change.actor.level == "all" and change.admin.find_any(change.db, "user", user) is None:
        make(change, USER, {"id": user})
    made = keys.issue(change, fields, _text(said, "key"))
    return {**_key_row(change, made, spend=0.0), "key": made.key, "token_id": made.id, "litellm_budget_table": None}


def key_update(change: Change, said: Plain) -> Plain:
    """Change a key."""
    before = _key(change, _needed(said, "key"))
    after = _altered(change, KEY, before, ours("key", said, rows.time(change.at_ms)))
    return {**_key_row(change, cast("Key", after)), "key": before.id}


def key_delete(change: Change, said: Plain) -> Plain:
    """Remove keys, by themselves or by their aliases."""
    names = list(said.get("keys") or [])
    aliases = set(said.get("key_aliases") or [])
    found = [_key(change, name) for name in names]
    if aliases:
        found += [cast("Key", one) for one in rows.every(change.db, KEY) if cast("Key", one).name in aliases]
    if not found:
        raise NotFound("there are no such keys")
    for key in found:
        remove(change, KEY, change.find(KEY, key.id))
    return {"deleted_keys": [*names, *sorted(aliases)]}


def key_info(look: Look, said: Plain) -> Plain:
    """Read a key; the caller's own where none is named."""
    name = said.get("key") or look.actor.id
    key = _key(look, name)
    return {"key": name if name == key.id else key.id, "info": _key_row(look, key)}


def key_list(look: Look, said: Plain) -> Plain:
    """List keys, by pages that are counted off, as LiteLLM does; at most a thousand keys deep."""
    size, number = _number(said, "size", 10, 100), _number(said, "page", 1, 1000)
    where = {ours_: said[name] for name, ours_ in (("team_id", "team"), ("user_id", "user")) if said.get(name)}
    found = page(look, KEY, Page(limit=500), where).items
    shown = found[(number - 1) * size : number * size]
    full = str(said.get("return_full_object", "")).lower() == "true"
    total = len(found)
    return {
        "keys": [_key_row(look, key) if full else key.id for key in shown],
        "total_count": total,
        "current_page": number,
        "total_pages": -(-total // size),
    }


def key_blocking(*, blocked: bool) -> Does:
    """Return what blocks a key, or opens it again."""

    def does(change: Change, said: Plain) -> Plain:
        key = _key(change, _needed(said, "key"))
        after = keys.block(change, cast("Key", change.find(KEY, key.id)), blocked=blocked)
        return _key_row(change, after)

    return does


def key_regenerate(change: Change, said: Plain) -> Plain:
    """Give a key a new token."""
    key = _key(change, _needed(said, "key"))
    wait = seconds(said["grace_period"], "grace_period") if said.get("grace_period") else 0.0
    before = cast("Key", change.find(KEY, key.id))
    made = keys.renew(change, before, wait, token=_text(said, "new_key"))
    return {**_key_row(change, made), "key": made.key, "token_id": made.id}


# Teams


def team_new(change: Change, said: Plain) -> Plain:
    """Make a team, with its members."""
    made = cast("Team", make(change, TEAM, ours("team", said)))
    members = said.get("members_with_roles") or []
    for member in members if isinstance(members, list) else [members]:
        _join(change, made.id, member)
    return _team_row(change, made)


def team_update(change: Change, said: Plain) -> Plain:
    """Change a team."""
    before = change.find(TEAM, _needed(said, "team_id"))
    after = _altered(change, TEAM, before, ours("team", said))
    return {"team_id": after.id, "data": _team_row(change, cast("Team", after))}


def team_delete(change: Change, said: Plain) -> Plain:
    """Remove teams with their keys and memberships."""
    for team_id in said.get("team_ids") or []:
        team = change.find(TEAM, team_id)
        for name in ("membership", "key"):
            for thing in list(rows.every(change.db, KINDS[name], {"team": team.id})):
                change.remove(KINDS[name], thing)
        remove(change, TEAM, team)
    return {"deleted_teams": said.get("team_ids") or []}


def team_info(look: Look, said: Plain) -> Plain:
    """Read a team with its keys."""
    team = cast("Team", look.see(TEAM, _needed(said, "team_id")))
    held = [_key_row(look, cast("Key", key)) for key in rows.page(look.db, KEY, {"team": team.id}, "", 100)]
    return {"team_id": team.id, "team_info": _team_row(look, team), "keys": held, "team_memberships": []}


def team_list(look: Look, _said: Plain) -> list[Plain]:
    """List teams."""
    return [_team_row(look, team) for team in page(look, TEAM, Page(limit=500), {}).items]


def team_blocking(*, blocked: bool) -> Does:
    """Return what blocks a team, or opens it again."""

    def does(change: Change, said: Plain) -> Plain:
        before = change.find(TEAM, _needed(said, "team_id"))
        return _team_row(change, cast("Team", _altered(change, TEAM, before, {"blocked": blocked})))

    return does


def team_member_add(change: Change, said: Plain) -> Plain:
    """Let users join a team."""
    team = cast("Team", change.see(TEAM, _needed(said, "team_id")))
    members = said.get("member") or []
    for member in members if isinstance(members, list) else [members]:
        _join(change, team.id, member, said.get("max_budget_in_team"))
    return _team_row(change, team)


def team_member_delete(change: Change, said: Plain) -> Plain:
    """Let a user leave a team."""
    team = cast("Team", change.see(TEAM, _needed(said, "team_id")))
    found = rows.find(change.db, KINDS["membership"], f"{team.id}/{_needed(said, 'user_id')}")
    if found is None:
        raise NotFound(f"{said['user_id']!r} is no member of the team {team.id!r}")
    change.remove(KINDS["membership"], found)
    return _team_row(change, team)


# Users


def user_new(change: Change, said: Plain) -> Plain:
    """Make a user, and a key unless that is not wanted."""
    made = cast("User", make(change, USER, ours("user", said)))
    for team_id in said.get("teams") or []:
        _join(change, team_id, {"user_id": made.id})
    reply = _user_row(change, made)
    if said.get("auto_create_key", True):
        key = keys.issue(change, {"user": made.id})
        reply |= {"key": key.key, "token": key.id, "key_name": key.prefix}
    return reply


def user_update(change: Change, said: Plain) -> Plain:
    """Change a user."""
    before = change.find(USER, _needed(said, "user_id"))
    after = cast("User", _altered(change, USER, before, ours("user", said)))
    return {"user_id": after.id, "data": _user_row(change, after)}


def user_delete(change: Change, said: Plain) -> int:
    """Remove users with their keys and memberships."""
    for user_id in said.get("user_ids") or []:
        user = change.find(USER, user_id)
        for name in ("membership", "key"):
            for thing in list(rows.every(change.db, KINDS[name], {"user": user.id})):
                change.remove(KINDS[name], thing)
        remove(change, USER, user)
    return len(said.get("user_ids") or [])


def user_info(look: Look, said: Plain) -> Plain:
    """Read a user with its keys and teams."""
    user = cast("User", look.see(USER, said.get("user_id") or look.actor.user or ""))
    held = [_key_row(look, cast("Key", key)) for key in rows.page(look.db, KEY, {"user": user.id}, "", 100)]
    joined = [cast("Membership", one).team for one in rows.every(look.db, KINDS["membership"], {"user": user.id})]
    teams = [found for team in joined if isinstance(found := look.admin.find_any(look.db, "team", team), Team)]
    return {
        "user_id": user.id,
        "user_info": {**_user_row(look, user), "teams": joined},
        "keys": held,
        "teams": [_team_row(look, team) for team in teams],
    }


def user_list(look: Look, said: Plain) -> Plain:
    """List users by pages."""
    size, number = _number(said, "page_size", 25, 100), _number(said, "page", 1, 1000)
    found = page(look, USER, Page(limit=500), {}).items
    shown = [_user_row(look, user) for user in found[(number - 1) * size : number * size]]
    pages = -(-len(found) // size)
    return {"users": shown, "total": len(found), "page": number, "page_size": size, "total_pages": pages}


# Customers and budgets


def customer_new(change: Change, said: Plain) -> Plain:
    """Make a customer."""
    return _customer_row(change, cast("Customer", make(change, CUSTOMER, ours("customer", said))))


def customer_update(change: Change, said: Plain) -> Plain:
    """Change a customer."""
    before = change.find(CUSTOMER, _needed(said, "user_id"))
    return _customer_row(change, cast("Customer", _altered(change, CUSTOMER, before, ours("customer", said))))


def customer_delete(change: Change, said: Plain) -> Plain:
    """Remove customers."""
    for customer in said.get("user_ids") or []:
        remove(change, CUSTOMER, change.find(CUSTOMER, customer))
    return {"deleted_customers": len(said.get("user_ids") or []), "message": "the customers are removed"}


def customer_blocking(*, blocked: bool) -> Does:
    """Return what blocks customers, or opens them again. Who is not known yet is made."""

    def does(change: Change, said: Plain) -> Plain:
        done = []
        for name in said.get("user_ids") or []:
            if change.admin.find_any(change.db, "customer", name) is None:
                done.append(make(change, CUSTOMER, {"id": name, "blocked": blocked}))
            else:
                done.append(_altered(change, CUSTOMER, change.find(CUSTOMER, name), {"blocked": blocked}))
        word = "blocked_users" if blocked else "unblocked_users"
        return {word: [_customer_row(change, cast("Customer", one)) for one in done]}

    return does


def customer_info(look: Look, said: Plain) -> Plain:
    """Read a customer."""
    return _customer_row(look, cast("Customer", look.see(CUSTOMER, _needed(said, "end_user_id"))))


def customer_list(look: Look, _said: Plain) -> list[Plain]:
    """List customers."""
    return [_customer_row(look, one) for one in page(look, CUSTOMER, Page(limit=500), {}).items]


def budget_new(change: Change, said: Plain) -> Plain:
    """Make bounds by a name."""
    limits, budgets = bounds(said)
    fields = {**ours("template", said), "limits": limits, "budgets": budgets}
    return _budget_row(cast("Template", make(change, TEMPLATE, fields)))


def budget_update(change: Change, said: Plain) -> Plain:
    """Change bounds by a name."""
    before = change.find(TEMPLATE, _needed(said, "budget_id"))
    return _budget_row(cast("Template", _altered(change, TEMPLATE, before, ours("template", said))))


def budget_delete(change: Change, said: Plain) -> Plain:
    """Remove bounds by a name that nobody has any more."""
    template = cast("Template", change.find(TEMPLATE, _needed(said, "id")))
    remove(change, TEMPLATE, template)
    return _budget_row(template)


def budget_info(look: Look, said: Plain) -> list[Plain]:
    """Read bounds by their names."""
    return [_budget_row(cast("Template", look.see(TEMPLATE, name))) for name in said.get("budgets") or []]


def budget_list(look: Look, _said: Plain) -> list[Plain]:
    """List bounds by a name."""
    return [_budget_row(one) for one in page(look, TEMPLATE, Page(limit=500), {}).items]


# What happened


def spend_logs(look: Look, said: Plain) -> list[Plain]:
    """List the newest calls, as rows of LiteLLM's log."""
    if said.get("request_id"):
        return [_log_row(read_call(look, Asked(look.actor, {"id": _needed(said, "request_id")})).value)]
    key = said.get("api_key")
    query: Plain = {"limit": 100, "key": None if key is None else _key(look, key).id, "user": said.get("user_id")}
    found = list_calls(look, Asked(look.actor, {}, converted(query, Calls))).value
    return [_log_row(record) for record in found.items]


def global_spend(look: Look, _said: Plain) -> Plain:
    """Sum up all there is."""
    if look.actor.level != "all":
        dimension: Dimension = look.actor.level
        return {"spend": spent(look, dimension, getattr(look.actor, dimension) or ""), "max_budget": None}
    amounts = rollups.total(look.db, 0, look.admin.now_ms() // 1000 + 60, measures=("cost_nano_usd",))
    return {"spend": amounts["cost_nano_usd"] / NANO, "max_budget": None}


def model_info(look: Look, _said: Plain) -> Plain:
    """List the models that the configuration names, with their targets."""
    data = [
        {
            "model_name": name,
            "litellm_params": {"model": target.model},
            "model_info": {"id": f"{name}.{index}", "db_model": False, "weight": target.weight},
        }
        for name, model in sorted(look.admin.config.models.items())
        for index, target in enumerate(model.targets)
    ]
    return {"data": data}


# Rows


def _key_row(look: Look, key: Key, spend: float | None = None) -> Plain:
    return {
        "token": key.id,
        "key_name": key.prefix,
        "key_alias": key.name or None,
        "spend": spent(look, "key", key.id) if spend is None else spend,
        "expires": stamp(key.expires),
        "models": list(key.models),
        "aliases": key.aliases,
        "config": {},
        "user_id": key.user,
        "team_id": key.team,
        "organization_id": key.org,
        "budget_id": key.template,
        "metadata": key.metadata,
        "tags": list(key.tags),
        "blocked": key.blocked,
        "created_at": stamp(key.created_at),
        "updated_at": stamp(key.updated_at),
        **theirs(key),
    }


def _team_row(look: Look, team: Team) -> Plain:
    members = [cast("Membership", one) for one in rows.page(look.db, KINDS["membership"], {"team": team.id}, "", 500)]
    return {
        "team_id": team.id,
        "team_alias": team.name or None,
        "organization_id": team.org,
        "models": list(team.models),
        "members_with_roles": [
            {"user_id": one.user, "role": "admin" if one.role == "team_admin" else "user"} for one in members
        ],
        "metadata": team.metadata,
        "blocked": team.blocked,
        "spend": spent(look, "team", team.id),
        "created_at": stamp(team.created_at),
        "updated_at": stamp(team.updated_at),
        **theirs(team),
    }


def _user_row(look: Look, user: User) -> Plain:
    return {
        "user_id": user.id,
        "user_alias": user.name or None,
        "user_email": user.email,
        "organization_id": user.org,
        "models": list(user.models),
        "metadata": user.metadata,
        "spend": spent(look, "user", user.id),
        "created_at": stamp(user.created_at),
        "updated_at": stamp(user.updated_at),
        **theirs(user),
    }


def _customer_row(look: Look, customer: Customer) -> Plain:
    has = customer.template is not None or customer.limits or customer.budgets
    return {
        "user_id": customer.id,
        "alias": customer.name or None,
        "blocked": customer.blocked,
        "spend": spent(look, "customer", customer.id),
        "litellm_budget_table": {"budget_id": customer.template, **theirs(customer)} if has else None,
    }


def _budget_row(template: Template) -> Plain:
    return {
        "budget_id": template.id,
        "created_at": stamp(template.created_at),
        "updated_at": stamp(template.updated_at),
        **theirs(template),
    }


def _log_row(record: Any) -> Plain:
    usage = record.usage
    start = rows.time(record.time_ms)
    return {
        "request_id": record.id,
        "call_type": record.operation,
        "api_key": record.key,
        "user": record.user,
        "team_id": record.team,
        "end_user": record.customer,
        "model": record.target or record.model,
        "model_group": record.model,
        "spend": (record.cost_nano_usd or 0) / NANO,
        "prompt_tokens": usage.input_total if usage is not None else 0,
        "completion_tokens": usage.output_total if usage is not None else 0,
        "total_tokens": usage.total if usage is not None else 0,
        "startTime": stamp(start),
        "endTime": stamp(start + timedelta(microseconds=record.total_us)),
        "status": "success" if record.status < 400 else "failure",
        "request_tags": list(record.tags),
        "metadata": {"portico_version": __version__, "basis": record.basis, "pricing": record.pricing},
    }


# What was said


def _key(look: Look, name: str) -> Key:
    """Return the key that is named by itself or by its id. Raises NotFound."""
    found = keys.by_token(look, name) if name.startswith("sk-") else None
    return cast("Key", look.see(KEY, found.id if found is not None else name))


def _altered(change: Change, kind: Any, before: Thing, fields: Plain) -> Thing:
    if before.source == "configuration":
        change.find(kind, before.id)  # says that it is declared
    said = {name: value for name, value in fields.items() if name not in ("id", "key")}
    return alter(change, kind, before, converted(said, patch(kind.name)))


def _join(change: Change, team: str, member: Any, budget: float | None = None) -> None:
    user = member.get("user_id") if isinstance(member, dict) else None
    if not isinstance(user, str):
        raise BadRequest("a member is named by `user_id`", param="member")
    if change.admin.find_any(change.db, "user", user) is None:
        make(change, USER, {"id": user, "email": member.get("user_email")})
    role = "team_admin" if member.get("role") == "admin" else "member"
    fields: Plain = {"user": user, "role": role}
    if budget is not None:
        fields["budgets"] = [{"usd": budget, "per": "forever"}]
    join(change, team, fields)


def _needed(said: Plain, name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{name!r} is missing", param=name)
    return value


def _text(said: Plain, name: str) -> str | None:
    """Return a key that somebody brings along. Raises Unprocessable for one that can be guessed."""
    value = said.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.startswith("sk-") or len(value) < 24 or not value.isprintable():
        raise Unprocessable("a key of your own begins with `sk-` and has at least 24 characters", param=name)
    return value


def _number(said: Plain, name: str, default: int, most: int) -> int:
    text = str(said.get(name) or default)
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise BadRequest(f"{name!r} is a number from 1 to {most}", param=name)
    return int(text)
