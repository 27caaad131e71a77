"""Going on with an answer whose stream died, at another provider: what was said, what to ask, how to join. Pure."""
