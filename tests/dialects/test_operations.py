"""Which call a path and a method are, and which are none."""

import pytest

from portico.dialects.operations import OPERATIONS, route
from portico.errors import InvalidRequest, MethodNotAllowed

KNOWN = {
    "/chat/completions": "chat",
    "/completions": "completions",
    "/embeddings": "embeddings",
    "/moderations": "moderations",
    "/images/generations": "images_generations",
    "/images/edits": "images_edits",
    "/images/variations": "images_variations",
    "/audio/speech": "audio_speech",
    "/audio/transcriptions": "audio_transcriptions",
    "/audio/translations": "audio_translations",
    "/responses": "responses",
    "/responses/input_tokens": "responses_input_tokens",
    "/responses/compact": "responses_compact",
    "/rerank": "rerank",
}
VERTEX = "projects/p-1/locations/us-central1/publishers/google/models"
ARN = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude"
NAMED = {
    "/v1beta/models/gemini-2.5-flash:generateContent": ("generate_content", "gemini-2.5-flash"),
    "/v1/models/gemini-2.5-flash:streamGenerateContent": ("stream_generate_content", "gemini-2.5-flash"),
    "/v1alpha/models/gemini-2.5-flash:generateContent": ("generate_content", "gemini-2.5-flash"),
    "/v1beta/models/g:countTokens": ("gemini_count_tokens", "g"),
    "/v1beta/models/g:embedContent": ("embed_content", "g"),
    "/v1beta/models/g:batchEmbedContents": ("batch_embed_contents", "g"),
    "/v1beta/models/openai/gpt-4o:generateContent": ("generate_content", "openai/gpt-4o"),
    "/v1beta/openai/gpt-4o:generateContent": ("generate_content", "openai/gpt-4o"),
    "/v1alpha/a/b/c:streamGenerateContent": ("stream_generate_content", "a/b/c"),
    "/v1beta/models/openai%2Fgpt-4o:generateContent": ("generate_content", "openai/gpt-4o"),
    "/v1beta/models/ollama/llama3:8b:generateContent": ("generate_content", "ollama/llama3:8b"),
    f"/v1/{VERTEX}/gemini-2.5-pro:generateContent": ("generate_content", "gemini-2.5-pro"),
    f"/v1beta1/{VERTEX}/gemini-2.5-pro:streamGenerateContent": ("stream_generate_content", "gemini-2.5-pro"),
    f"/v1beta1/{VERTEX}/a%2Fb:countTokens": ("gemini_count_tokens", "a/b"),
    "/v1beta1/publishers/google/models/g:generateContent": ("generate_content", "g"),
    "/v1/publishers/google/models/g:generateContent": ("generate_content", "g"),
    "/v1beta1/publishers/openai/models/gpt-4.1:generateContent": ("generate_content", "openai/gpt-4.1"),
    "/v1beta1/projects/p/locations/l/publishers/groq/models/meta/l:streamGenerateContent": (
        "stream_generate_content",
        "groq/meta/l",
    ),
    "/model/anthropic.claude-v2%3A1/converse": ("converse", "anthropic.claude-v2:1"),
    "/model/anthropic.claude-v2:1/converse-stream": ("converse_stream", "anthropic.claude-v2:1"),
    f"/model/{ARN}/invoke": ("invoke", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude"),
    "/model/anthropic.claude-v2:1/count-tokens": ("converse_count_tokens", "anthropic.claude-v2:1"),
    "/v1beta1/publishers/google/models/text-embedding-005:predict": ("predict", "text-embedding-005"),
    "/model/arn:aws:x/y/invoke-with-response-stream": ("invoke_stream", "arn:aws:x/y"),
    "/openai/deployments/gpt-4o/chat/completions": ("chat", "gpt-4o"),
    "/openai/deployments/gpt-4o/completions": ("completions", "gpt-4o"),
    "/openai/deployments/azure/gpt-4o/embeddings": ("embeddings", "azure/gpt-4o"),
    "/openai/deployments/w%20x/audio/transcriptions": ("audio_transcriptions", "w x"),
    "/openai/deployments/d/images/generations": ("images_generations", "d"),
    "/engines/gpt-4o/chat/completions": ("chat", "gpt-4o"),
    "/v1/engines/davinci/completions": ("completions", "davinci"),
    "//openai/deployments/gpt-4o/chat/completions": ("chat", "gpt-4o"),
}


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("path", KNOWN)
def test_openai_paths_are_known_with_and_without_a_version(path: str, prefix: str) -> None:
    found = route("POST", prefix + path, ())
    assert found is not None
    assert found.operation is OPERATIONS[KNOWN[path]]
    assert (found.model, found.provider, found.rest) == (None, None, "")


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/chat/completions/", "chat"),
        ("POST", "/chat/completions//", "chat"),
        ("POST", "/v1//chat/completions", "chat"),
        ("POST", "//v1///messages/", "messages"),
        ("POST", "/openai/deployments/gpt-4o//chat/completions/", "chat"),
        ("GET", "/v1/models/", "models"),
    ],
)
def test_slashes_too_many_change_nothing(method: str, path: str, name: str) -> None:
    found = route(method, path, ("openai",))
    assert found is not None
    assert (found.operation.name, found.provider) == (name, None)


def test_slashes_too_many_do_not_make_another_method_right() -> None:
    with pytest.raises(MethodNotAllowed):
        route("GET", "/v1/chat/completions/", ())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/messages", "messages"),
        ("/v1/messages/count_tokens", "messages_count_tokens"),
        ("/v2/chat", "cohere_chat"),
        ("/v2/embed", "cohere_embed"),
        ("/v2/rerank", "cohere_rerank"),
        ("/openai/responses", "responses"),
        ("/openai/v1/responses", "responses"),
        ("/openai/v1/chat/completions", "chat"),
    ],
)
def test_other_fixed_paths_are_known(path: str, name: str) -> None:
    found = route("POST", path, ())
    assert found is not None
    assert found.operation is OPERATIONS[name]


@pytest.mark.parametrize("path", NAMED)
def test_a_model_in_the_path_is_found_and_decoded(path: str) -> None:
    found = route("POST", path, ())
    assert found is not None
    assert (found.operation.name, found.model) == NAMED[path]
    assert found.operation.model_in == "path"
    assert found.operation.dialect == OPERATIONS[NAMED[path][0]].dialect


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1beta/models"])
def test_models_are_listed(path: str) -> None:
    found = route("GET", path, ())
    assert found is not None
    assert found.operation is OPERATIONS["models"]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/models/gpt-4o", "gpt-4o"),
        ("/v1/models/openai/gpt-4o", "openai/gpt-4o"),
        ("/v1/models/ollama/llama3:8b", "ollama/llama3:8b"),
        ("/models/openai%2Fgpt-4o", "openai/gpt-4o"),
        ("/v1beta/models/gemini-2.5-flash", "gemini-2.5-flash"),
    ],
)
def test_one_model_is_asked_for(path: str, model: str) -> None:
    found = route("GET", path, ())
    assert found is not None
    assert (found.operation.name, found.model) == ("model", model)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/messages"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/gpt-4o"),
        ("GET", "/v1beta/models/g:generateContent"),
        ("PUT", "/model/x/converse"),
        ("GET", "/openai/deployments/d/chat/completions"),
        ("GET", f"/v1/{VERTEX}/g:generateContent"),
    ],
)
def test_a_known_path_with_another_method_is_refused(method: str, path: str) -> None:
    with pytest.raises(MethodNotAllowed, match=method):
        route(method, path, ())


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/livez",
        "/v1",
        "/v1/chat",
        "/v1/chat/",
        "/v1/vector_stores",
        "/v1beta/models/:generateContent",
        "/v1beta/models/g:generateMessage",
        "/v1beta/g:generateContent",
        "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
        "/v1/projects/p/locations/l/endpoints/9:generateContent",
        "/v1/projects/p/publishers/google/models/g:generateContent",
        "/v1beta1/x",
        "/model//converse",
        "/openai/deployments/x/files",
        "/openai/v1/chat",
        "/engines/x",
        "/admin/keys",
        "openai",
        "/openai",
    ],
)
def test_what_is_no_call_has_no_route(path: str) -> None:
    assert route("POST", path, {"anthropic"}) is None


INNER = {
    ("POST", "/openai/v1/chat/completions"): ("chat", None, "/v1/chat/completions"),
    ("POST", "/openai/chat/completions"): ("chat", None, "/chat/completions"),
    ("POST", "/anthropic/v1/messages"): ("messages", None, "/v1/messages"),
    ("POST", "/gemini/v1beta/models/a%2Fb:generateContent"): (
        "generate_content",
        "a/b",
        "/v1beta/models/a%2Fb:generateContent",
    ),
    ("POST", "/bedrock/model/m%3A0/converse-stream"): ("converse_stream", "m:0", "/model/m%3A0/converse-stream"),
    ("POST", "/groq/openai/v1/chat/completions"): ("chat", None, "/openai/v1/chat/completions"),
    ("POST", "/openrouter/api/v1/embeddings"): ("embeddings", None, "/api/v1/embeddings"),
    ("POST", "/zai/api/paas/v4/chat/completions"): ("chat", None, "/api/paas/v4/chat/completions"),
    ("GET", "/openai/v1/models"): ("models", None, "/v1/models"),
    ("GET", "/openai/v1/files"): ("files_list", None, "/v1/files"),
    ("GET", "/openai/v1/vector_stores"): ("passthrough", None, "/v1/vector_stores"),
    ("PUT", "/openai/v1/files"): ("passthrough", None, "/v1/files"),
    ("GET", "/openai/v1/chat/completions"): ("passthrough", None, "/v1/chat/completions"),
    ("DELETE", "/openai/v1/files/f-1"): ("files_delete", None, "/v1/files/f-1"),
    ("POST", "/openai/v1/threads/t/messages"): ("passthrough", None, "/v1/threads/t/messages"),
    ("POST", "/openai/"): ("passthrough", None, "/"),
}
PROVIDERS = {"openai", "anthropic", "gemini", "bedrock", "groq", "openrouter", "zai"}


@pytest.mark.parametrize("call", INNER)
def test_pass_through_carries_the_operation_it_passes(call: tuple[str, str]) -> None:
    found = route(*call, PROVIDERS)
    assert found is not None
    assert (found.operation.name, found.model, found.rest) == INNER[call]
    assert found.provider == call[1].split("/")[1]


def test_pass_through_is_for_known_providers_only() -> None:
    assert route("POST", "/nobody/v1/chat/completions", PROVIDERS) is None


def test_a_provider_hides_no_path_of_ours() -> None:
    found = route("POST", "/openai/deployments/d/chat/completions", {"openai"})
    assert found is not None
    assert (found.provider, found.model) == (None, "d")


@pytest.mark.parametrize("rest", ["/../x", "/v1/%2e%2E/x", "/v1/..%2fx", "/./x", "/v1/..", "/a\\..\\b", "/%2E/x"])
def test_dot_segments_are_refused(rest: str) -> None:
    with pytest.raises(InvalidRequest, match="dot segments"):
        route("GET", "/openai" + rest, PROVIDERS)


@pytest.mark.parametrize("name", ["%ff", "a%0d%0ab", "a%00"])
def test_a_model_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        route("POST", f"/v1beta/models/{name}:generateContent", ())
    assert caught.value.param == "model"


def test_operations_are_named_as_the_table_names_them() -> None:
    assert all(name == operation.name for name, operation in OPERATIONS.items())
    assert {operation.name for operation in OPERATIONS.values() if operation.upload} == {
        "images_edits",
        "images_variations",
        "audio_transcriptions",
        "audio_translations",
    }
