"""What every script here is told and tells: the tools it offers, the calls they got, and what was said in the end."""

import json
import os
from collections.abc import Callable
from typing import Any

PLAN: dict[str, Any] = json.loads(os.environ["PLAN"])
URL: str = PLAN["url"]
KEY: str = PLAN["key"]


class Tools:
    """Two tools, and a note of each call."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []

    def look_up(self, city: str, days: int) -> str:
        """Look up the weather of a city."""
        self.calls.append(["look_up", {"city": city, "days": days}])
        return f"“ok” {city} {days}"

    def now(self) -> str:
        """Tell the time."""
        self.calls.append(["now", {}])
        return "twelve"


def main(loops: dict[str, Callable[[str, str, Tools], str]]) -> None:
    """Run each loop, given a model, a question and the tools, with every model; print what came of it."""
    out: dict[str, Any] = {}
    for name, loop in loops.items():
        for upstream, model in PLAN["models"].items():
            tools = Tools()
            try:
                said = loop(model, PLAN["question"], tools)
                out[f"{name}-{upstream}"] = {"text": said, "calls": tools.calls}
            except Exception as error:
                out[f"{name}-{upstream}"] = {"error": f"{type(error).__name__}: {error}", "calls": tools.calls}
    print(json.dumps(out))
