"""How the platform's 18 models are used: which endpoint, how often, how much a request takes. Numbers made up, but
of the size that recorded traffic has.

`cost` is what our upstream takes, in picodollars for one token, character or image: about 40 % of the official price,
so that the operator's reports have a margin to show. It is not a price anybody is charged.
"""

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

Usage = dict[str, Any]
Use = Callable[[Random], Usage]

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
EMBEDDINGS, IMAGES, SPEECH = "/v1/embeddings", "/v1/images/generations", "/v1/audio/speech"
IMAGE_TOKENS = (85, 765, 1105)  # low detail; one large square; a larger picture
SPEECH_CHARACTERS_MAX = 4096


class Profile(NamedTuple):
    """One model. `popularity` is its weight among all requests."""

    model: str
    endpoint: str
    popularity: float
    use: Use
    cost: dict[str, int]

    @property
    def streams(self) -> bool:
        return self.endpoint in (CHAT, COMPLETIONS)


def sized(rng: Random, median: int, spread: float, most: int) -> int:
    """A count with a long tail: half of them below `median`, none above `most`."""
    return max(1, min(most, round(median * rng.lognormvariate(0, spread))))


def text(question: int, answer: int, context: int) -> Use:
    """A conversation: tokens of the question so far, tokens of the answer, within the model's context."""

    def use(rng: Random) -> Usage:
        output = sized(rng, answer, 0.8, context // 4)
        return _tokens(sized(rng, question, 1.0, context - output), output)

    return use


def pictures_seen(rng: Random) -> Usage:
    seen = rng.choices((1, 2, 4), (8, 3, 1))[0]
    question = sized(rng, 180, 0.7, 4000) + sum(rng.choice(IMAGE_TOKENS) for _ in range(seen))
    return _tokens(question, sized(rng, 220, 0.7, 4000))


def embedded(rng: Random) -> Usage:
    """A few texts or a whole document, cut into pieces and sent as one array."""
    count = sized(rng, 900, 1.4, 200_000)
    return {"prompt_tokens": count, "total_tokens": count}


def spoken(rng: Random) -> Usage:
    return {"characters": sized(rng, 420, 0.9, SPEECH_CHARACTERS_MAX)}


def drawn_by_dall_e_2(rng: Random) -> Usage:
    return {"n": rng.choices((1, 2, 4), (6, 2, 1))[0], "size": rng.choice(("256x256", "512x512", "1024x1024"))}


def drawn_by_dall_e_3(rng: Random) -> Usage:
    size = rng.choices(("1024x1024", "1024x1792", "1792x1024"), (4, 1, 1))[0]
    return {"n": 1, "size": size, "quality": rng.choices(("standard", "hd"), (3, 1))[0]}


def _tokens(question: int, answer: int) -> Usage:
    return {"prompt_tokens": question, "completion_tokens": answer, "total_tokens": question + answer}


def _by_token(question: int, answer: int) -> dict[str, int]:
    return {"prompt_tokens": question, "completion_tokens": answer}


CHEAP, OLDER, OLDEST = _by_token(200_000, 600_000), _by_token(600_000, 800_000), _by_token(1_200_000, 1_600_000)
TURBO, LARGE = _by_token(4_000_000, 8_000_000), _by_token(12_000_000, 24_000_000)

PROFILES = (
    Profile("gpt-3.5-turbo", CHAT, 30, text(650, 190, 16_000), CHEAP),
    Profile("gpt-3.5-turbo-0125", CHAT, 9, text(700, 200, 16_000), CHEAP),
    Profile("gpt-3.5-turbo-0301", CHAT, 0.8, text(400, 150, 4000), OLDER),
    Profile("gpt-3.5-turbo-0613", CHAT, 1.5, text(450, 160, 4000), OLDER),
    Profile("gpt-3.5-turbo-1106", CHAT, 4, text(700, 210, 16_000), _by_token(400_000, 800_000)),
    Profile("gpt-3.5-turbo-16k", CHAT, 1.5, text(3800, 260, 16_000), OLDEST),
    Profile("gpt-3.5-turbo-16k-0613", CHAT, 0.7, text(3500, 250, 16_000), OLDEST),
    Profile("gpt-3.5-turbo-instruct", COMPLETIONS, 2, text(300, 120, 4000), OLDER),
    Profile("gpt-4", CHAT, 9, text(750, 240, 8000), LARGE),
    Profile("gpt-4-1106-preview", CHAT, 12, text(1900, 330, 120_000), TURBO),
    Profile("gpt-4-vision-preview", CHAT, 4, pictures_seen, TURBO),
    Profile("text-embedding-ada-002", EMBEDDINGS, 14, embedded, {"prompt_tokens": 40_000}),
    Profile("dall-e-2", IMAGES, 1, drawn_by_dall_e_2, {"n": 7_200_000_000}),
    Profile("dall-e-3", IMAGES, 2, drawn_by_dall_e_3, {"n": 20_000_000_000}),
    Profile("tts-1", SPEECH, 2.5, spoken, {"characters": 6_000_000}),
    Profile("tts-1-1106", SPEECH, 0.6, spoken, {"characters": 6_000_000}),
    Profile("tts-1-hd", SPEECH, 1.2, spoken, {"characters": 12_000_000}),
    Profile("tts-1-hd-1106", SPEECH, 0.5, spoken, {"characters": 12_000_000}),
)


def upstream_cost(profile: Profile, usage: Usage) -> int:
    """Picodollars that our upstream takes for this."""
    return sum(usage.get(name, 0) * each for name, each in profile.cost.items())
