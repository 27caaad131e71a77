"""The workers of a machine keep a conversation at one target, and one that takes another's place knows of it."""

import asyncio
import os
import signal
from typing import Any

from portico.testing.mock import MockProvider
from portico.testing.running import running_portico

SYSTEM = "You know the weather of the whole world. " * 200


def turn(about: str, number: int) -> dict[str, Any]:
    said = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": about}]
    for place in range(number):
        said += [{"content": f"answer {place}", "role": "assistant"}, {"role": "user", "content": f"and {place}?"}]
    return {"model": "spread", "messages": said}


def keep(url: str) -> None:
    provider = {"base_url": url, "api_key": "sk-upstream-0123456789", "models": ["m"], "like": "openai"}
    targets = ["one/m", "two/m", "three/m"]
    models = {"spread": {"strategy": "round_robin", "affinity": True, "targets": targets}}
    said = {"providers": dict.fromkeys(("one", "two", "three"), provider), "models": models}
    with running_portico(said, arguments=["--workers", "2"]) as portico:

        def call(about: str, number: int) -> tuple[str, str]:
            status, headers, told = portico.request(
                "POST", "/v1/chat/completions", turn(about, number), {"x-portico-route": "1"}, key=portico.master_key
            )
            assert status == 200, told
            return headers["x-portico-target"], headers["x-portico-route"]

        firsts = {about: call(about, 0)[0] for about in ("rain", "snow", "wind", "hail", "fog", "sun", "dew")}
        assert len(set(firsts.values())) > 1
        # Each call is a connection of its own, which the kernel gives to either worker.
        for number in range(1, 8):
            for about, first in firsts.items():
                target, why = call(about, number)
                assert target == first
                assert why.endswith("its prompt is cached there")
        os.kill(portico.workers()[0], signal.SIGKILL)
        portico.errors.wait_for("is back")
        for about, first in firsts.items():
            assert {call(about, number)[0] for number in range(4)} == {first}


async def test_workers_keep_conversations_where_their_prompts_are_cached() -> None:
    async with MockProvider() as mock:
        await asyncio.to_thread(keep, mock.url + "/v1")
