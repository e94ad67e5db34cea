"""The endpoints without messages: prompts, embeddings, speech, pictures, seconds."""

from typing import Any

import pytest

from pricing.tokens import Count, Uncounted, count, endpoint_of, path_of, tokens


def sides(
    path: str, model: str, request: dict[str, Any], response: dict[str, Any] | None = None
) -> tuple[Any, Any, str]:
    found = count(path, model, request, response)
    return found.input, found.output, found.unit


def test_prompts_and_embeddings_are_their_tokens() -> None:
    n = tokens("cl100k_base", "hello world")[0]
    nothing = Count(0, 0, 0)
    for given, expected in (
        ("hello world", n),
        (["hello world", "hello world"], 2 * n),
        ([1, 2, 3], 3),
        ([[1, 2], [3]], 3),
    ):
        exact = Count(expected, expected, expected)
        assert sides("/v1/embeddings", "text-embedding-3-small", {"input": given}) == (exact, nothing, "tokens")
        assert sides("/v1/completions", "gpt-3.5-turbo-instruct", {"prompt": given})[0] == exact
    assert isinstance(sides("/v1/completions", "davinci-002", {})[0], Uncounted)


def test_an_azure_embedding_called_ada_is_the_second_one() -> None:
    text = "    def f(x):"
    exact = tokens("cl100k_base", text)[0]
    assert sides("/openai/deployments/x/embeddings", "ada", {"input": text})[0].likely == exact


def test_speech_is_billed_by_character() -> None:
    assert sides("/v1/audio/speech", "tts-1", {"input": "Grüße"})[0] == Count(5, 5, 5)
    emoji = sides("/v1/audio/speech", "tts-1-hd", {"input": "a🌞"})
    assert (emoji[0].low, emoji[0].high, emoji[2]) == (2, 3, "characters")
    assert sides("/v1/audio/speech", "gpt-4o-mini-tts", {"input": "hello"})[2] == "tokens"


def test_transcription_is_billed_by_second() -> None:
    found = sides("/v1/audio/transcriptions", "whisper-1", {}, {"text": "hi", "duration": 1.13})
    assert (found[0].low, found[0].high, found[2]) == (1, 2, "seconds")
    unread: list[Any] = [None, "x", -1, 1e300, [], True]
    for bad in unread:
        assert isinstance(sides("/v1/audio/transcriptions", "whisper-1", {}, {"duration": bad})[0], Count | Uncounted)
    text = sides("/v1/audio/transcriptions", "gpt-4o-transcribe", {}, {"text": "hello world"})
    assert text[1].low == 2
    spoken = {"text": "hello world", "segments": [{"speaker": "A", "text": "hello world"}]}
    assert sides("/v1/audio/transcriptions", "gpt-4o-transcribe-diarize", {}, spoken)[1].high is None
    whole = sides("/v1/audio/transcriptions", "whisper-1", {}, {"text": "hi", "duration": 8.0})
    assert (whole[0].low, whole[0].high) == (8, 9)  # 8.0 may stand for 8.004


def test_a_prompt_may_be_empty_or_hold_the_mark_of_a_texts_end() -> None:
    assert sides("/v1/completions", "davinci-002", {"prompt": ""})[0].high == 1
    marked = sides("/v1/completions", "davinci-002", {"prompt": "a<|endoftext|>"})[0]
    assert (marked.low, marked.high) == (2, 1 + tokens("cl100k_base", "<|endoftext|>")[0])


def test_pictures_are_counted_or_priced_in_tokens() -> None:
    two: dict[str, Any] = {"data": [{}, {}]}
    assert sides("/v1/images/generations", "dall-e-3", {"prompt": "x"}, two)[1:] == (Count(2, 2, 2), "images")
    request = {"prompt": "x", "size": "1024x1024", "quality": "medium"}
    assert sides("/v1/images/generations", "gpt-image-1", request, two)[1].likely == 2112
    assert isinstance(sides("/v1/images/generations", "gpt-image-1", {"prompt": "x"}, two)[1], Uncounted)
    assert sides("/v1/images/generations", "gpt-image-1", request, two)[0].high is not None
    assert sides("/v1/images/edits", "gpt-image-1", request, two)[0].high is None
    assert isinstance(sides("/v1/images/edits", "gpt-image-1", {"_multipart": True}, two)[0], Uncounted)
    shown = sides("/v1/images/generations", "gpt-image-1", {**request, "partial_images": 2}, two)[1]
    assert (shown.likely, shown.high) == (2112, 2112 + 2 * 200)
    assert sides("/v1/images/generations", "gpt-image-1.5", request, two)[1].high is None
    assert isinstance(sides("/v1/images/generations", "gpt-image-1", request, {"created": 1})[1], Uncounted)


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/chat/completions", "chat"),
        ("/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", "chat"),
        ("/v1/completions", "completions"),
        ("/openai/responses", "responses"),
        ("/v1/responses/compact", "other"),
        ("/v1/responses/input_tokens", "other"),
        ("/v1/embeddings/", "embeddings"),
        ("/v1/audio/translations", "transcription"),
        ("/v1/images/edits", "images"),
        ("/openai/deployments/responses-eu/completions", "completions"),
        ("/openai/deployments/embeddings/chat/completions", "chat"),
        ("/v1/files", "other"),
    ],
)
def test_paths(path: str, endpoint: str) -> None:
    assert endpoint_of(path) == endpoint


def test_a_bare_request_has_a_path() -> None:
    assert endpoint_of(path_of({"messages": []}, "gpt-4o")) == "chat"
    assert endpoint_of(path_of({"prompt": ""}, "davinci-002")) == "completions"
    assert endpoint_of(path_of({"input": ""}, "text-embedding-3-small")) == "embeddings"
    assert endpoint_of(path_of({"input": ""}, "gpt-4o")) == "responses"
    assert endpoint_of(path_of({"input": ""}, "tts-1")) == "speech"
    assert endpoint_of(path_of({"prompt": ""}, "dall-e-3")) == "images"
    assert endpoint_of(path_of({}, "whisper-1")) == "transcription"
    assert endpoint_of(path_of({"input": ""}, "omni-moderation-latest")) == "other"
    assert endpoint_of(path_of({"input": "", "instruction": ""}, "text-davinci-edit-001")) == "other"


def test_an_unknown_model_or_endpoint_is_not_guessed() -> None:
    assert count("/v1/chat/completions", "claude-3", {"messages": []}).input == Uncounted(
        "the model is of no known family"
    )
    assert isinstance(sides("/v1/files", "gpt-4o", {"messages": []})[0], Uncounted)
    assert isinstance(count("/v1/chat/completions", "gpt-4o", None, None).output, Uncounted)
