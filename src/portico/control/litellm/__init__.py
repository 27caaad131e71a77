"""LiteLLM's management routes, for scripts that use them: its paths, field names and reply shapes, over our objects."""
