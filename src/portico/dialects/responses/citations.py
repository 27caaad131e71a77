"""Annotations of an output text (url_citation, file_citation, container_file_citation, file_path) and our citations."""

from typing import Any

from portico.ir import Citation

Object = dict[str, Any]
_KINDS = frozenset(("url_citation", "file_citation", "container_file_citation", "file_path"))


def read_annotations(members: Object) -> tuple[Citation, ...]:
    """Take the annotations out of an output text. One that is unknown is kept as it is written."""
    annotations = members["annotations"]
    if type(annotations) is not list or not all(type(each) is dict for each in annotations):
        return ()
    del members["annotations"]
    return tuple([read_annotation(each) for each in annotations])


def read_annotation(value: Object) -> Citation:
    """Read one annotation. Does not raise."""
    kind = value.get("type")
    if type(kind) is not str or kind not in _KINDS:
        return Citation(extra={"$annotation": value})
    rest = {name: member for name, member in value.items() if name[:1] != "$"}
    del rest["type"]
    if kind == "url_citation":
        return Citation(
            kind="url",
            url=_taken(rest, "url", str),
            title=_taken(rest, "title", str),
            start=_taken(rest, "start_index", int),
            end=_taken(rest, "end_index", int),
            extra=rest,
        )
    return Citation(
        kind="file",
        file_id=_taken(rest, "file_id", str),
        title=_taken(rest, "filename", str),
        start=_taken(rest, "index" if kind != "container_file_citation" else "start_index", int),
        end=_taken(rest, "end_index", int),
        extra={**rest, "$type": kind},
    )


def _taken(members: Object, name: str, kind: type) -> Any:
    value = members.get(name)
    if type(value) is kind:
        del members[name]
        return value
    return None


def write_annotation(citation: Citation, *, own: bool = False, length: int = 0) -> Object:
    """Write a citation. `own` says that it was read from this dialect; `length` is its text's, in characters.

    A citation that is no address is told as one of a file, which is the only other source that the API knows: a
    document of the request has no file id, so that its place among the documents stands there.
    """
    extra = citation.extra if own else {}
    if "$annotation" in extra:
        return extra["$annotation"]  # type: ignore[no-any-return]  # what read_annotation put there
    rest = {name: member for name, member in extra.items() if name[:1] != "$"}
    if citation.kind == "url" or (citation.url is not None and citation.file_id is None):
        value: Object = {"type": "url_citation", **rest}
        fields = (
            ("url", citation.url),
            ("title", citation.title),
            ("start_index", citation.start),
            ("end_index", citation.end),
        )
        for name, member in fields:
            if member is not None:
                value[name] = member
        if not own:
            value.setdefault("url", "")
            value.setdefault("title", value["url"])
            value.setdefault("start_index", 0)
            value.setdefault("end_index", length)
        return value
    kind = extra.get("$type", "file_citation")
    value = {"type": kind, **rest}
    if citation.file_id is not None:
        value["file_id"] = citation.file_id
    if citation.title is not None:
        value["filename"] = citation.title
    if kind == "container_file_citation":
        if citation.start is not None:
            value["start_index"] = citation.start
        if citation.end is not None:
            value["end_index"] = citation.end
    elif citation.start is not None:
        value["index"] = citation.start
    if not own:
        value.setdefault("file_id", citation.document_id or f"document_{citation.document or 0}")
        value.setdefault("filename", value["file_id"])
        value.setdefault("index", citation.end if citation.end is not None else length)
        if citation.cited is not None:
            value["quote"] = citation.cited
    return value
