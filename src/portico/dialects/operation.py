"""One kind of call: the shape of its errors and usage, and where its model and its wish for a stream stand."""

from typing import Final, Literal

from portico.types import Dialect

Body = Literal["json", "multipart", "binary", "none"]


class Operation:
    """One kind of call.

    `dialect` is the shape of its errors and usage. `body` is the kind of its request: `multipart` ones may come as
    JSON too. `model_in` says where the caller writes the model. `streams` is `body` where the request's `stream`
    decides, `path` where the operation always streams. `upload` is true where the body is a file's, `local` where the
    gateway answers by itself, `usage_on_request` where a stream has its usage only if it is asked for.
    """

    __slots__ = ("body", "dialect", "local", "model_in", "name", "streams", "upload", "usage_on_request")

    def __init__(
        self,
        *,
        name: str,
        dialect: Dialect,
        body: Body = "json",
        model_in: Literal["body", "path", "none"] = "body",
        streams: Literal["body", "path", "never"] = "never",
        upload: bool = False,
        local: bool = False,
        usage_on_request: bool = False,
    ) -> None:
        self.name: Final = name
        self.dialect: Final = dialect
        self.body: Final = body
        self.model_in: Final = model_in
        self.streams: Final = streams
        self.upload: Final = upload
        self.local: Final = local
        self.usage_on_request: Final = usage_on_request

    def __repr__(self) -> str:
        return f"<Operation {self.name}>"

    def in_path(self) -> "Operation":
        """Return the same kind of call, at a path that names the model."""
        return Operation(
            name=self.name,
            dialect=self.dialect,
            body=self.body,
            model_in="path",
            streams=self.streams,
            upload=self.upload,
            local=self.local,
            usage_on_request=self.usage_on_request,
        )
