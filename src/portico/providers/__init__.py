"""Who the providers are: the catalog, how each is addressed and authenticated, what its models cost."""
