"""The configuration: what may be said, how it is read, what is wrong with it."""
