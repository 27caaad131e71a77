"""The form of the answer and the effort of thinking: `text` and `reasoning` of a request, and ours."""

import re

from portico.dialects.crossing import Target
from portico.dialects.responses.content import Object, UnfitError, remainder, written
from portico.ir import Output, Reasoning, Request

_UNNAMEABLE = re.compile(r"[^a-zA-Z0-9_-]+")
_NAME_LIMIT = 64
_EFFORTS = frozenset(("none", "minimal", "low", "medium", "high", "xhigh", "max"))
# Our own reading of a budget as a word: no provider has published one.
_LOW_BUDGET = 2_048
_MEDIUM_BUDGET = 12_288
# Dialects in which a request to think is a request to see it.
_SHOWING = frozenset(("messages", "converse", "cohere"))


def read_text(value: object) -> tuple[Output | None, str | None]:
    """Read `text`: the form and the verbosity, which are taken out of it. Raises UnfitError."""
    if type(value) is not dict:
        raise UnfitError("The settings of the text are an object")
    verbosity = value.get("verbosity")
    if verbosity is not None:
        if type(verbosity) is not str:
            raise UnfitError("The verbosity is a string", ".verbosity")
        del value["verbosity"]
    form = value.get("format")
    if form is None:
        return None, verbosity
    del value["format"]
    if type(form) is not dict or type(form.get("type")) is not str:
        raise UnfitError("The format of the text is an object with a type", ".format")
    return _read_form(form), verbosity


def _read_form(form: Object) -> Output:
    kind = form.pop("type")
    if kind == "text":
        return Output("text", extra=remainder(form))
    if kind == "json_object":
        return Output("json", extra=remainder(form))
    if kind != "json_schema":
        raise UnfitError(f"{kind!r} is no format of text: use text, json_object or json_schema", ".format.type")
    fields: Object = {}
    for name, sort in (("schema", dict), ("name", str), ("description", str), ("strict", bool)):
        field = form.get(name)
        if field is not None:
            if type(field) is not sort:
                raise UnfitError(f"The {name} of a format is not what it should be", f".format.{name}")
            fields[name] = form.pop(name)
    return Output("json_schema", **fields, extra=remainder(form))


def write_text(request: Request) -> Object | None:
    """Write `text`, None where the request says nothing of it."""
    own = request.dialect == "responses"
    left = request.extra.get("text") or request.extra.get("$silent", {}).get("text") if own else None
    value: Object = dict(left) if type(left) is dict else {}
    if request.output is not None:
        value["format"] = _write_form(request.output, own)
    if request.verbosity is not None:
        value["verbosity"] = request.verbosity
    return value or None


def _write_form(output: Output, own: bool) -> Object:
    form: Object = written(output.extra) if own else {}
    if output.kind != "json_schema":
        form["type"] = "text" if output.kind == "text" else "json_object"
        return form
    form["type"] = "json_schema"
    if output.schema is not None:
        form["schema"] = output.schema
    elif not own:
        return {"type": "json_object"}
    if output.name is not None:
        form["name"] = output.name if own else _UNNAMEABLE.sub("_", output.name)[:_NAME_LIMIT] or "answer"
    elif not own:
        form["name"] = "answer"
    if output.description is not None and (own or output.description):
        form["description"] = output.description
    if output.strict is not None:
        form["strict"] = output.strict
    return form


def read_reasoning(value: object) -> Reasoning:
    """Read `reasoning`. Raises UnfitError. Consumes the object."""
    if type(value) is not dict:
        raise UnfitError("The settings of the reasoning are an object")
    effort, summary = value.get("effort"), value.get("summary")
    for name, field in (("effort", effort), ("summary", summary)):
        if field is not None:
            if type(field) is not str:
                raise UnfitError(f"The {name} is a string", f".{name}")
            del value[name]
    if effort == "none":
        return Reasoning(enabled=False, summary=summary, extra=remainder(value))
    return Reasoning(
        enabled=True if effort is not None else None,
        effort=effort,
        show=True if summary is not None else None,
        summary=summary,
        extra=remainder(value),
    )


def write_reasoning(request: Request, target: Target | None = None) -> Object:
    """Write `reasoning`; a budget becomes the effort that it comes nearest to."""
    asked = request.reasoning
    assert asked is not None
    own = request.dialect == "responses"
    quirks = target.quirks if target is not None and not own else frozenset()
    value: Object = written(asked.extra) if own else {}
    effort = asked.effort
    if asked.enabled is False:
        effort = "minimal" if "no_effort_none" in quirks else "none"
    elif effort is None and asked.budget is not None:
        effort = _effort(asked.budget)
    elif not own and effort not in _EFFORTS:
        effort = None
    if effort == "minimal" and "no_effort_minimal" in quirks:
        effort = "low"
    if effort is not None:
        value["effort"] = effort
    summary = asked.summary
    if not own and asked.enabled is not False:
        shown = asked.show or (asked.show is None and bool(asked.enabled) and request.dialect in _SHOWING)
        summary = None if not shown or "no_reasoning_summary" in quirks else summary or "auto"
    if summary is not None:
        value["summary"] = summary
    return value


def _effort(budget: int) -> str | None:
    if budget <= 0:
        # None at all; a negative one leaves it to the model (Gemini).
        return "none" if budget == 0 else None
    if budget <= _LOW_BUDGET:
        return "low"
    return "medium" if budget <= _MEDIUM_BUDGET else "high"
