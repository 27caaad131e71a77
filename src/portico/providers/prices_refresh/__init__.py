"""Makes `prices.tsv` from two public sources: a command for those who maintain it, never run by the gateway."""
