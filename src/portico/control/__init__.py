"""The control process: everything of the gateway that is not a call to a model. Calls go on without it.

Where to look:

    how a request is answered  app, serving, routes, routing, actors, replies, problems, openapi, open, lean, starting
    how an object is changed   admin, objects, checks, members, keys, credentials
    what is told               observed, usage, history, events, jobs, shadows, planning, tariff
    what workers are given     publish, state, supplies, rebuild, under, carrying
    what it does by itself     ingest, following, counting, keeping, pruning, alerts
    what is put right          repricing
    LiteLLM's own routes       litellm
"""
