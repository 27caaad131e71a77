"""Six wire formats as pure modules: which call a path is, where its model stands, what it used, how it fails.

The six are `chat`, `responses`, `messages`, `gemini`, `converse` and `cohere`. Beside them, by what is asked:

    which call it is             operation, operations, spoken, registry, later, callable, models, stand_ins
    what a body says, as bytes   request, members, multipart, limits, batch, references, sealed
    what a call can use          asked, plain_requests, asked_closely, estimating, media_tokens, picture_size
    what it has used             usage, observer, tokens, openai, plain_usage, media, invoke, passed, allowances
    how it fails                 errors, complaint, malformed
    it crosses to another        translate, crossing, crossing_page, direct, retold, replayed, gist, seal
    what is put otherwise there  names, unnamed, free_text, emulate, hosted, searching, client_tools, people, toolbox
    what several write alike     turns, voice, arguments, documents, pictures, claude, vertex, wrapped
    no conversation              tasks, forms, embed, rerank, counting
    what goes on after a call    objects, jobs
    an answer gone on with       resume
"""
