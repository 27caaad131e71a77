"""Writes the reference page of what cannot cross from the table: `python -m portico.dialects.crossing_page`."""

import sys
from typing import Final

from portico.dialects.crossing import FEATURES, TITLES, Feature, fate_of
from portico.dialects.registry import DIALECTS
from portico.dialects.stand_ins import PREFERENCE

_INTRODUCTION: Final = """\
# What crosses from one API to another

<!-- Written by `python -m portico.dialects.crossing_page`; do not edit. -->

A caller speaks the API that it knows, the provider behind its model may speak another: the request is put into the
provider's words, and the reply, its stream and its errors into the caller's. Where both speak the same, the bytes pass
as they are. What both can say arrives, in its order: texts, images, documents, tools, calls and their results,
thoughts, citations, the reason for the end, usage.

The rest is in the table below. Each row is something that not every provider can be told:

- **dropped**: the call goes on without it, and the reply's `x-portico-dropped` names it by the row's name;
- **refused**: the call is refused with an error that names the field, since without it the answer would be another;
- with `x-portico-strict: true`, or `strict` in the configuration, what would be dropped is refused too.

An empty cell means that it crosses, or is said there in other words.
"""

_ORDER: Final = """\
## Which API of a provider is spoken

A provider that has the caller's own API is always spoken to in it. Of one that has several others, the first of these
is taken: those that keep what was said (sealed thoughts, media in tool results, documents) come before those that keep
the settings.

| caller | then |
|---|---|
"""


def render() -> str:
    """Return the page."""
    lines = [_INTRODUCTION, "## The table\n"]
    lines.append("| name | what it is | " + " | ".join(TITLES[dialect] for dialect in DIALECTS) + " |")
    lines.append("|---|---|" + "---|" * len(DIALECTS))
    lines += [_row(name, feature) for name, feature in sorted(FEATURES.items())]
    lines.append("")
    order = [
        f"| {TITLES[caller]} | {', '.join(TITLES[dialect] for dialect in PREFERENCE[caller])} |" for caller in DIALECTS
    ]
    return "\n".join([*lines, _ORDER + "\n".join(order), ""])


def _row(name: str, feature: Feature) -> str:
    told = feature.what[0].upper() + feature.what[1:]
    if feature.why:
        told += f": {feature.why}"
    told = told.replace("<", "&lt;")
    if feature.param is not None:
        told += f" (`{feature.param}`)"
    told_as = {"drop": "dropped", "refuse": "refused", None: ""}
    cells = [told_as[fate_of(name, dialect)] for dialect in DIALECTS]
    return f"| `{name}` | {told} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(render())
