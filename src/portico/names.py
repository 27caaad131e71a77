"""Names with wildcards, as keys and aliases use them."""


def matches(pattern: str, name: str) -> bool:
    """Return whether a name fits a pattern in which `*` stands for any run of characters.

    Linear in the length of the name, whatever the pattern.
    """
    if "*" not in pattern:
        return pattern == name
    head, *middle, tail = pattern.split("*")
    if len(name) < len(head) + len(tail) or not name.startswith(head) or not name.endswith(tail):
        return False
    at, end = len(head), len(name) - len(tail)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def captured(pattern: str, name: str) -> str | None:
    """Return what the first `*` of a pattern stands for in a name, or None when the name does not fit.

    A pattern with several stars captures from the first star to the end of what the last one covers.
    """
    if not matches(pattern, name):
        return None
    head, _, rest = pattern.partition("*")
    tail = rest.rpartition("*")[2]
    return name[len(head) : len(name) - len(tail)]
