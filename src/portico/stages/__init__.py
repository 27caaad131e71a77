"""One verb per file: what happens to a call between the wire and a provider. No stage imports another."""
