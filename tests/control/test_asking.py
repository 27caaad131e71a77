"""A job is asked about with the key that began it, whatever keys calls go out with since."""

import asyncio
from collections.abc import Iterator

import pytest

from control.conftest import SECRET
from portico.config.load import load_plain
from portico.control.counting import Asking
from portico.jobs import Job
from portico.rules import Bound
from portico.state.contract import Owned
from portico.state.supplies import StoredKey, Supplies, render_keys
from portico.wire.client import Client

TEAM = StoredKey("openai", "cred-core", "sk-upstream-of-the-team-01", "core")


@pytest.fixture
def client() -> Iterator[Client]:
    loop = asyncio.new_event_loop()
    yield Client(loop=loop)
    loop.close()


@pytest.mark.parametrize("team_keys", ["optional", "required"])
@pytest.mark.parametrize("credential", ["openai#1", "openai#cred-core"])
def test_a_job_goes_back_to_its_key(client: Client, team_keys: str, credential: str) -> None:
    declared = {"api_key": "sk-upstream-shared-0000001", "team_keys": team_keys}
    config = load_plain({"providers": {"openai": declared}, "teams": {"core": {}}}, {}).config
    asking = Asking(client, config, Supplies(b"", render_keys([TEAM], SECRET)), SECRET)
    job = Job("call", "batches", "batch_1", "team:core", 0, "openai/m", credential, Bound(0, 0, None), team="core")
    upstream = asking._place(job, Owned("batch\nteam:core\nbatch_1", "batch", "team:core", "openai", credential, 0.0))
    assert [key.id for key in upstream.target("", config.timeouts).upstream.keyring.credentials] == [credential]
