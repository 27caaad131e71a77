"""Writes the reference page of what cannot cross from the table: `python -m portico.dialects.crossing_page`."""

import sys
from collections.abc import Sequence
from typing import Final

from portico.dialects.crossing import FEATURES, TITLES, Feature, fate_of
from portico.dialects.registry import DIALECTS
from portico.dialects.stand_ins import PREFERENCE
from portico.types import Dialect

_OWN: Final = ("embed_", "rerank_")
"""How the names of those rows begin that are about calls other than conversations."""
_TASKS: Final[tuple[Dialect, ...]] = ("chat", "gemini", "converse", "cohere")

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

_BEYOND: Final = """\
## Embeddings, rankings and counts

A client of any of these APIs is served by a provider of any other:

- **embeddings**: OpenAI's `/v1/embeddings`, with Voyage's and Jina's words where a provider has those; Gemini's
  `batchEmbedContents` and `embedContent`; Vertex AI's `predict`; Cohere's `/v2/embed`; Bedrock's `invoke` of Titan's
  and Cohere's models;
- **rankings**: Cohere's `/v2/rerank`; `/v1/rerank` in Jina's, Cohere's older or Voyage's words; Bedrock's `invoke` of
  Cohere's and Amazon's models, as a provider;
- **counts of tokens**: Anthropic's `/v1/messages/count_tokens`, OpenAI's `/v1/responses/input_tokens`, Gemini's
  `countTokens`, Bedrock's `count-tokens`: by the provider's own counter, else an estimate is made here.

Where a provider takes fewer inputs at once than were asked for, it is asked several times in one call, with one record.

An estimate says so: `x-portico-estimate: true` in the headers, `"estimate": true` in the body. It needs no call to the
provider. Half of all recorded calls are within 2 to 10 % of it for GPT, Claude, Gemini and Mistral, and within 16 to
41 % for others; what is added unseen by a model or its host makes short requests differ by more.

`/v1/moderations` and the endpoints for images need no `model`: an alias named `omni-moderation-latest` takes a
moderation, else the one provider that has the endpoint (of several, OpenAI), by the model that it takes by itself.

| name | what it is | OpenAI and those that follow it | Gemini, Vertex AI | Bedrock | Cohere, Jina, Voyage |
|---|---|---|---|---|---|
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
    rows = sorted(FEATURES.items())
    lines += [_row(name, feature, DIALECTS) for name, feature in rows if not name.startswith(_OWN)]
    beyond = [_row(name, feature, _TASKS) for name, feature in rows if name.startswith(_OWN)]
    lines += ["", _BEYOND + "\n".join(beyond), ""]
    order = [
        f"| {TITLES[caller]} | {', '.join(TITLES[dialect] for dialect in PREFERENCE[caller])} |" for caller in DIALECTS
    ]
    return "\n".join([*lines, _ORDER + "\n".join(order), ""])


def _row(name: str, feature: Feature, dialects: Sequence[Dialect]) -> str:
    told = feature.what[0].upper() + feature.what[1:]
    if feature.why:
        told += f": {feature.why}"
    told = told.replace("<", "&lt;")
    if feature.param is not None:
        told += f" (`{feature.param}`)"
    told_as = {"drop": "dropped", "refuse": "refused", None: ""}
    cells = [told_as[fate_of(name, dialect)] for dialect in dialects]
    return f"| `{name}` | {told} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(render())
