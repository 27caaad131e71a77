"""Requests that HTTP allows and the gateway does not: ways out of an origin, keys and bodies that are none."""

import random
from urllib.parse import quote

from gateway.hostile.draft import AUTH, GOOD, MARK, MODEL, NARROW, Draft, chat, chunked, chunks, head, sized

# Ways out of the provider's origin


def escapes(rng: random.Random) -> Draft:
    path = rng.choice(
        (
            "/mock/../admin",
            "/mock/v1/../../admin",
            "/mock/%2e%2e/admin",
            "/mock/.%2e/admin",
            "/mock/%2E./admin",
            "/mock/v1/..%2fadmin",
            "/mock/v1/..%5cadmin",
            "/mock/v1/%252e%252e/admin",
            "/mock/v1/%25252e%25252e%25252fadmin",
            "/mock/v1/..;/admin",
            "/mock/v1/.;x/models",
            "/mock//evil.example/v1",
            "/mock///evil.example/v1",
            "/mock/v1//models",
            "/mock/\\evil.example",
            "/mock/v1\\..\\admin",
            "/mock/v1/%00",
            "/mock/v1/%0d%0aHost:%20evil",
            "/mock/v1/%0aX:%20y",
            "/mock/v1/%7f",
            "/mock/v1/models#",
            "/mock/v1/models?a#b",
            "/mock/v1/%zz",
            "/mock/v1/%",
            "/mock/v1/%2",
            "/mock/v1/%u002e%u002e/",
            '/mock/v1/"',
            "/mock/v1/<x>",
            "/mock/v1/{a}",
            "/mock/v1/a|b",
            "/mock/v1/a^b",
            "/mock/v1/`id`",
            "/mock/v1/models?a=\\",
            "/mock/v1/models?%zz",
            "/openai/deployments/mock%2f..%2f..%2fadmin%0d%0a/chat/completions",
            "/v1beta/models/mock%2fx%0d%0aX:y:generateContent",
            "/v1beta/models/%ff:generateContent",
            "/model/mock%2f%00/converse",
            "/model/nobody%2f..%2fx/converse",
        )
    )
    status = {400} if path.startswith("/mock/") else {400, 404}
    method = rng.choice(("GET", "POST")) if path.startswith("/mock/") else "POST"
    return Draft(sized(chat(model="gpt-4o-mini"), target=path, method=method), (status,))


def narrow(rng: random.Random) -> Draft:
    """Return what a key for one model and no provider of its own may not do."""
    auth = f"Authorization: Bearer {NARROW}\r\n"
    kind = rng.randrange(4)
    if kind == 0:
        return Draft(sized(chat(), auth=auth), ({403},))
    if kind == 1:
        return Draft(sized(chat(model="gpt-4o-mini"), target="/mock/v1/chat/completions", auth=auth), ({403},))
    if kind == 2:
        path = f"/openai/deployments/{quote(MODEL, safe='')}/chat/completions"
        return Draft(sized(chat(model="mock/small"), target=path, auth=auth), ({403},))
    name = rng.choice(
        ("mock/small\0", "mock/small ", "MOCK/small", "mock/small/../gpt-4o-mini", "mock//small", "*", "mock/*")
    )
    return Draft(sized(chat(model=name), auth=auth), ({400, 403, 404},))


def keys(rng: random.Random) -> Draft:
    wrong = rng.choice(
        (
            "sk-wrong",
            GOOD[:-1],
            GOOD + "x",
            GOOD.upper(),
            GOOD[::-1],
            "",
            "ÿþ",
            "a" * 5000,
            f'"{GOOD}"',
            f"{GOOD},x",
            "null",
            "%s",
            "../master_key",
            "' OR 1=1 --",
            f"{GOOD}\t{GOOD}",
            quote(f"\x00{GOOD}"),
        )
    )
    form = rng.choice(
        (
            "Authorization: Bearer {}",
            "Authorization: bearer {}",
            "Authorization: {}",
            "Authorization: Basic {}",
            "Authorization: AWS4-HMAC-SHA256 Credential={}/20260101/x/y/aws4_request, SignedHeaders=host, Signature=0",
            "x-api-key: {}",
            "api-key: {}",
            "x-goog-api-key: {}",
            "Proxy-Authorization: Bearer {}",
            "Cookie: key={}",
            "X: {}",
        )
    )
    return Draft(sized(chat(), auth=f"{form.format(wrong)}\r\n"), ({401},))


def queried_keys(rng: random.Random) -> Draft:
    query = rng.choice(
        ("key=", "key=sk-wrong", "key=%FF", "key=%", f"Key={GOOD}", f"api_key={GOOD}", f"xkey={GOOD}", "key=a&key=b")
    )
    return Draft(sized(chat(), target=f"/v1/chat/completions?{query}", auth=""), ({401},))


def two_keys(rng: random.Random) -> Draft:
    """Return a request with two keys where one is meant."""
    second = rng.choice((GOOD, "sk-wrong", NARROW, ""))
    pair = [AUTH, f"{rng.choice(('Authorization', 'authorization'))}: Bearer {second}\r\n"]
    rng.shuffle(pair)
    return Draft(sized(chat(), auth="".join(pair)), ({400},))


# What the body says


def bodies(rng: random.Random) -> Draft:
    deep = rng.choice((2000, 9000))
    body: bytes = rng.choice(
        (
            b"",
            b" ",
            b"{",
            b"}",
            b"[]",
            b"null",
            b"1",
            b'"' + MARK.encode() + b'"',
            b"{}",
            b"{]",
            b'{"model"}',
            b'{"model":}',
            b'{"model":null}',
            b'{"model":true}',
            b'{"model":1e999}',
            b'{"model":' + b"9" * 5000 + b"}",
            b'{"model":["mock/gpt-4o-mini"]}',
            b'{"model":{"a":"mock/gpt-4o-mini"}}',
            b'{"model":""}',
            b'{"model":"mock/\xff"}',
            b'{"model":"mock/\xed\xa0\x80"}',
            b'{"model":"mock/\\ud800"}',
            b'{"model":"mock/\\udc00\\ud800"}',
            b'{"model":"mock/\\u0000"}',
            b'{"model":"mock/\\r\\nX-Injected: yes"}',
            b'{"model":"mock/a\nb"}',
            b'{"model":"mock/\\x41"}',
            b'{"model":"' + b"m" * 60_000 + b'"}',
            b'{"model":"mock/' + b"m" * 60_000 + b'"}',
            b'{"model":"mock/gpt-4o-mini","model":7}',
            b'{"model":"mock/gpt-4o-mini","model":null}',
            b'{"model":"mock/gpt-4o-mini","mod\\u0065l":""}',
            b'{"model":"mock/gpt-4o-mini"}{}',
            b'{"model":"mock/gpt-4o-mini"},',
            b'{"model":"mock/gpt-4o-mini",}',
            b"{'model':'mock/gpt-4o-mini'}",
            b'{"model":"mock/gpt-4o-mini"',
            b'{"model":"mock/gpt-4o-mini"}\0',
            b'\xff\xfe{\0"\0',
            b'{"model":"mock/gpt-4o-mini","stream":"yes"}',
            b'{"model":"mock/gpt-4o-mini","stream":1}',
            b'{"model":"mock/gpt-4o-mini","stream":true,"stream_options":7}',
            b'{"model":"mock/gpt-4o-mini","stream":true,"stream_options":[[[[]]]]}',
            b'{"model":"mock/gpt-4o-mini","a":' + b"[" * deep + b"]" * deep + b"}",
            b'{"model":"mock/gpt-4o-mini","a":' + b'{"a":' * deep + b"1" + b"}" * deep + b"}",
            b"[" * 30_000,
            b'{"a":' * 10_000,
            b'{"model":"nobody/x"}',
            b'{"model":"gpt-4o-mini/mock"}',
            b'{"model":"/"}',
            b'{"model":"mock/"}',
            b'{"model":"/gpt-4o-mini"}',
            b'{"model":" mock/gpt-4o-mini"}',
            b"{" + b",".join(b'"k%d":%d' % (number, number) for number in range(4000)) + b"}",
            b'{"messages":"' + rng.randbytes(2000) + b'"}',
        )
    )
    expected = {400} if body.startswith(b'{"model":"mock/gpt-4o-mini","a":') else {400, 404}
    return Draft(chunked(chunks(body) if body else b"0\r\n\r\n") if rng.random() < 0.3 else sized(body), (expected,))


def many_keys(rng: random.Random) -> Draft:
    """Return an object of as many members as a body may hold."""
    names = range(rng.randint(5000, 6500))
    return Draft(sized(b"{" + b",".join(b'"%x":0' % number for number in names) + b"}"), ({400},))


def coded(rng: random.Random) -> Draft:
    coding = rng.choice(("gzip", "br", "deflate", "zstd", "x", "gzip, gzip", "identity, gzip"))
    return Draft(sized(chat(), lines=f"Connection: close\r\nContent-Encoding: {coding}\r\n"), ({415},))


def forms(rng: random.Random) -> Draft:
    name = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    model = name % (b"model", MODEL.encode())
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nhostile\r\n'
    body, kind = rng.choice(
        (
            (file + model, "multipart/form-data; boundary=b"),
            (file + model + b"--b-", "multipart/form-data; boundary=b"),
            (file + b"--b--", "multipart/form-data; boundary=b"),
            (model + model + b"--b--", "multipart/form-data; boundary=b"),
            (model + b"--b--", "multipart/form-data; boundary=c"),
            (model + b"--b--", "multipart/form-data"),
            (model + b"--b--", "multipart/form-data; boundary="),
            (model + b"--b--", f"multipart/form-data; boundary={'b' * 300}"),
            (model + b"--b--", "multipart/form-data; boundary=\xff"),
            (name % (b"model", b"mock/\xff") + b"--b--", "multipart/form-data; boundary=b"),
            (name % (b"model", b"") + b"--b--", "multipart/form-data; boundary=b"),
            (name % (b"model", b"m" * 70_000) + b"--b--", "multipart/form-data; boundary=b"),
            (name % (b"model", b"mock/\r\nX-Injected: yes") + b"--b--", "multipart/form-data; boundary=b"),
            (name % (b'model"; name="x', b"mock/y") + b"--b", "multipart/form-data; boundary=b"),
            (b"--b\r\nX: " + b"a" * 20_000 + b"\r\n\r\n\r\n" + model + b"--b--", "multipart/form-data; boundary=b"),
            (b"--b\r\n" * 2000 + b"--b--", "multipart/form-data; boundary=b"),
            (file * 400 + model + b"--b--", "multipart/form-data; boundary=b"),
            (
                b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n" + model + b"--c--\r\n",
                "multipart/form-data; boundary=b",
            ),
            (b"--b" * 30_000, "multipart/form-data; boundary=b"),
            (b"\r\n--b" * 20_000, "multipart/form-data; boundary=b"),
            (b"", "multipart/form-data; boundary=b"),
            (rng.randbytes(3000), "multipart/form-data; boundary=b"),
        )
    )
    path = rng.choice(("/v1/audio/transcriptions", "/v1/audio/translations", "/v1/images/edits"))
    data = head(path, f"Connection: close\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n") + body
    return Draft(data, ({400, 404},))


def two_kinds(rng: random.Random) -> Draft:
    """Return a body that says twice what it is: gateway and provider might each believe the other."""
    pair = ["Content-Type: application/json\r\n", "Content-Type: multipart/form-data; boundary=b\r\n"]
    rng.shuffle(pair)
    body = chat()
    path = "/v1/audio/transcriptions"
    return Draft(head(path, f"{pair[0]}{pair[1]}Content-Length: {len(body)}\r\n") + body, ({400},))


# Callers who do not play along


def deaf(rng: random.Random) -> Draft:
    """Return many requests whose long replies nobody reads."""
    return Draft(head("/v1/models", method="GET") * rng.randint(100, 900), (), deaf=True, whole=True)
