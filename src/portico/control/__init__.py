"""The control process: everything of the gateway that is not a call to a model. Calls go on without it."""
