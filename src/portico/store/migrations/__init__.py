"""The migrations of the store, run by `portico.store.migrate`."""
