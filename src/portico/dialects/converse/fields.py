"""`additionalModelRequestFields`: where Bedrock keeps what only one maker's models take.

docs.aws.amazon.com/bedrock/latest/userguide/{model-parameters, claude-messages-extended-thinking,
nova2-extended-thinking} (read 2026-11-20): Claude's `thinking` (once `reasoning_config`), `output_config`, `top_k`;
Nova's `reasoningConfig` and `inferenceConfig.topK`; gpt-oss's `reasoning_effort`; Qwen's `reasoning_config`, a word.
"""

from typing import Any

from portico.dialects.claude import Abilities, sampling, think, wanted
from portico.dialects.crossing import Notes
from portico.ir import Extra, Output, Reasoning, Request

_FIELDS = "additionalModelRequestFields"
_WORDS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


def parse_fields(value: Extra) -> tuple[Reasoning | None, int | None, Output | None]:
    """Read what of the fields is ours: how to reason, `top_k`, a schema for the answer.

    They move to `$fields`, as they were written, where that is all of them.
    """
    fields = value.get(_FIELDS)
    if type(fields) is not dict or not fields:
        return None, None, None
    reasoning: Reasoning | None = None
    top_k = None
    output: Output | None = None
    known = True
    for name, said in fields.items():
        if name in ("thinking", "reasoning_config", "reasoningConfig") and (found := _reasoning(said)) is not None:
            effort = reasoning.effort if reasoning is not None else None
            reasoning = found if effort is None else _with(found, effort)
        elif name == "reasoning_effort" and type(said) is str:
            reasoning = Reasoning(effort=said)
        elif name == "output_config" and type(said) is dict:
            effort = said.get("effort")
            if type(effort) is str:
                reasoning = _with(reasoning or Reasoning(), effort)
            output = _output(said.get("format"))
            known = known and len(said) == (type(effort) is str) + (output is not None) > 0
        elif name in ("top_k", "topK") and type(said) is int:
            top_k = said
        elif name == "inferenceConfig" and type(said) is dict and set(said) == {"topK"} and type(said["topK"]) is int:
            top_k = said["topK"]
        else:
            known = False
    if known:
        value["$fields"] = value.pop(_FIELDS)
    return reasoning, top_k, output


def _output(form: Any) -> Output | None:
    """Read Claude's `output_config.format`, which clients of Bedrock send here for its models."""
    if type(form) is not dict or set(form) != {"type", "schema"} or form["type"] != "json_schema":
        return None
    return (
        Output(kind="json_schema", schema=form["schema"], extra={"$fields": True})
        if type(form["schema"]) is dict
        else None
    )


def _with(reasoning: Reasoning, effort: str) -> Reasoning:
    return Reasoning(enabled=reasoning.enabled, effort=effort, budget=reasoning.budget, show=reasoning.show)


def _reasoning(said: Any) -> Reasoning | None:
    if type(said) is str:
        return Reasoning(effort=said)
    if type(said) is not dict:
        return None
    kind, budget, effort, display = (
        said.get(name) for name in ("type", "budget_tokens", "maxReasoningEffort", "display")
    )
    if kind not in ("enabled", "adaptive", "disabled"):
        return None
    return Reasoning(
        enabled=kind != "disabled",
        budget=budget if type(budget) is int else None,
        effort=effort if type(effort) is str else None,
        show={"summarized": True, "omitted": False}.get(display) if type(display) is str else None,
    )


class Fields:
    """What a model of one maker takes beside the common parameters: `fields`, and those that change with them."""

    def __init__(self, request: Request, model: str, notes: Notes) -> None:
        self.fields: Extra = {}
        self.max_tokens = request.max_tokens
        self.temperature = request.temperature
        self.top_p = request.top_p
        self._request = request
        self._model = model.lower()
        self._notes = notes

    def claude(self, abilities: Abilities, *, forced: bool, loop: bool) -> None:
        """Fill in Claude's: its rules are those of Anthropic's API, but `max_tokens` may be left out."""
        thought = think(self._request, abilities, self._notes, forced=forced, loop=loop)
        if thought.block is not None:
            self.fields["thinking"] = thought.block
            self.max_tokens = thought.max_tokens
        if thought.effort is not None:
            self.fields["output_config"] = {"effort": thought.effort}
        kept = sampling(self._request, abilities, self._notes, thinking=thought.block is not None)
        self.temperature, self.top_p = kept.get("temperature"), kept.get("top_p")
        if "top_k" in kept:
            self.fields["top_k"] = kept["top_k"]

    def others(self) -> None:
        """Fill in another maker's."""
        request, notes = self._request, self._notes
        if self.temperature is not None and self.temperature > 1:
            notes.lost("temperature_above_1")
            self.temperature = 1.0
        nova = "nova" in self._model
        if request.top_k is not None:
            if nova:
                self.fields["inferenceConfig"] = {"topK": request.top_k}
            elif "mistral" in self._model:
                self.fields["top_k"] = request.top_k
            elif "cohere" in self._model:
                self.fields["k"] = request.top_k
            else:
                notes.lost("top_k")
        reasoning = request.reasoning
        if reasoning is None or not wanted(reasoning):
            return
        word = _WORDS.get(reasoning.effort or "", "medium")
        if reasoning.effort is None and reasoning.budget is not None and reasoning.budget > 0:
            word = "low" if reasoning.budget <= 2048 else "medium" if reasoning.budget <= 8192 else "high"
        if "nova-2" in self._model:
            self.fields["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": word}
            if word == "high":
                # Nova refuses these beside its highest effort.
                for name in ("temperature", "top_p", "max_tokens"):
                    if getattr(self, name) is not None:
                        notes.lost("sampling", name)
                        setattr(self, name, None)
        elif "gpt-oss" in self._model:
            self.fields["reasoning_effort"] = word
        elif "qwen3" in self._model or "deepseek.v3" in self._model:
            self.fields["reasoning_config"] = word
        elif "deepseek.r1" not in self._model:
            notes.lost("thinking")
