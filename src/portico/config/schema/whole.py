"""A whole configuration."""

from typing import Annotated

from portico.config.schema.attempts import Breaker, Queue, Retries
from portico.config.schema.callers import BudgetFor, Customer, Key, LimitFor, Organization, Team, User
from portico.config.schema.models import Model, Routing
from portico.config.schema.providers import Price, Provider, Timeouts
from portico.config.schema.server import Alerts, Logs, Server
from portico.config.schema.words import Closed, said


class Config(Closed, frozen=True):
    """A whole configuration."""

    server: Annotated[Server, said("The port, the processes, and their bounds.")] = Server()
    providers: Annotated[dict[str, Provider], said("Providers by name.")] = {}
    models: Annotated[dict[str, Model], said("Model names of your own, and their targets.")] = {}
    routing: Annotated[Routing, said("What holds for where calls go, whatever model they name.")] = Routing()
    keys: Annotated[dict[str, Key], said("Keys that callers hold, by a name for people.")] = {}
    organizations: Annotated[dict[str, Organization], said("Organizations, by name.")] = {}
    teams: Annotated[dict[str, Team], said("Teams, by name.")] = {}
    users: Annotated[dict[str, User], said("Users, by name.")] = {}
    customers: Annotated[dict[str, Customer], said("End users, by the name that callers give them.")] = {}
    limits: Annotated[
        tuple[LimitFor, ...], said("Limits of their own: over all calls, or those that `for` names.")
    ] = ()
    budgets: Annotated[
        tuple[BudgetFor, ...], said("Budgets of their own: over all calls, or those that `for` names.")
    ] = ()
    retries: Annotated[Retries, said("How often one target is tried before the next.")] = Retries()
    breaker: Annotated[Breaker, said("When a target that fails is passed over for a while.")] = Breaker()
    queue: Annotated[
        Queue | None, said("Calls that a limit refuses wait for their turn; without it they are refused at once.")
    ] = None
    timeouts: Annotated[Timeouts, said("How long one attempt at a provider may take.")] = Timeouts()
    strict: Annotated[
        bool, said("Refuse a call whose provider cannot be told all of it, instead of dropping what cannot cross.")
    ] = False
    prices: Annotated[dict[str, Price], said("Prices by `provider/model` or `provider/*`, over the shipped ones.")] = {}
    logs: Annotated[Logs, said("What is written of calls.")] = Logs()
    alerts: Annotated[Alerts, said("Who hears of budgets that were passed.")] = Alerts()
