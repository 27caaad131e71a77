"""HTTP/1.1, both sides. Knows bytes, not models."""
