"""BLAKE2 alone: the rest of `hashlib` loads OpenSSL's tables, two thirds of a megabyte in every process."""

try:
    from _blake2 import blake2b
except ImportError:  # another Python than CPython
    from hashlib import blake2b

__all__ = ["blake2b"]
