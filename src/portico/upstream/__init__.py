"""One attempt at one target: its pools, its credentials, its health."""
