"""What is remembered of objects at providers, let go of once its provider has: a little at a time."""

from collections.abc import Mapping
from typing import Final

from portico.state.objects import Objects

DAY: Final = 86_400.0
LIFETIMES: Final[Mapping[str, float]] = {
    "response": 31 * DAY,
    "gemini_file": 3 * DAY,
    "upload": 8 * DAY,
    "due": DAY,
}
"""Seconds after which an object of a kind is not at its provider any more, and one day.

OpenAI keeps responses for 30 days (platform.openai.com/docs/guides/your-data), Google files for 48 hours
(ai.google.dev/gemini-api/docs/files) and uploads that are not gone on with for a week
(cloud.google.com/storage/docs/resumable-uploads), read 2026-11-20. What has no such time stays until it is deleted, or
its provider says that it is gone.
"""
SLICE: Final = 500
"""Objects that are looked at in one go."""


async def prune(objects: Objects, after: str, now: float) -> str:
    """Look at the next objects and forget those that are gone; return the last one's id, empty after the last of all.

    `now` is in seconds since the epoch.
    """
    found = objects.some(after, SLICE)
    gone = [one.id for one in found if now - one.created > LIFETIMES.get(one.kind, float("inf"))]
    for answer in [objects.disown(name) for name in gone]:
        await answer
    return found[-1].id if len(found) == SLICE else ""
