"""What is not an LLM call: health, version, and everything with a page or a table behind it."""
