"""What is read of replies that tell the name of something, and what is kept of an upload that has begun."""

import msgspec


class Upload(msgspec.Struct, frozen=True, array_like=True):
    """An upload that has begun: the hash of the key that began it, and where its bytes go at the provider."""

    key: bytes
    path: str
    query: str


class Told(msgspec.Struct):
    """A reply of Responses, as far as its id goes."""

    id: str


class Opening(msgspec.Struct):
    """The first event of a stream of Responses, as far as the id in it goes."""

    response: Told
