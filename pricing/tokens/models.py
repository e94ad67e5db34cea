"""Model name → its counting rules. Our own map: tiktoken's raises KeyError on gpt-6, gpt-audio and gpt-realtime.

A name may be spelt by OpenAI, Azure (`gpt-35-turbo`) or a router (`openai/gpt-4o`), and be a fine-tune or a snapshot.
It is reduced to OpenAI's own name, then matched by family, so that tomorrow's snapshots are known today. A name of no
family gives None: unverifiable, never a guess.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from pricing.tokens.images import GPT4O_TILES, UNKNOWN, ImageRule, Patches, Tiles

Kind = Literal["chat", "completion", "embedding", "speech", "transcription", "image", "moderation"]
# How a conversation and its tools are laid out for the model:
#   launch     gpt-3.5-turbo-0301                     4 tokens a message
#   snapshot   gpt-3.5-turbo-0613, gpt-4-0613         tools as TypeScript without titles and defaults
#   namespace  gpt-3.5-turbo-0125, gpt-4-turbo … 4.1  tools as TypeScript with titles, defaults, nested comments
#   reasoning  o1, o3, o4-mini                        as namespace; the answer is primed with 2 tokens, not 3
#   harmony    gpt-5 and later                        openai/harmony's layout: channels, "# Instructions"
Layout = Literal["launch", "snapshot", "namespace", "reasoning", "harmony"]


@dataclass(frozen=True, slots=True)
class Model:
    """The counting rules of one family."""

    family: str
    encoding: str
    kind: Kind = "chat"
    layout: Layout = "namespace"
    reasons: bool = False  # bills hidden reasoning tokens as output
    images: ImageRule = UNKNOWN
    hidden: bool = False  # adds tokens to prompts that cannot be known (o1-preview: 24 to 51 in 30 of 30; o1-mini: 7)
    preamble: int = 0  # tokens that the Responses API may put in front of the input, at most
    by_token: bool = True  # False where the endpoint bills characters, seconds or images instead
    seen: bool = True  # recordings of this family were counted
    undated: bool = False  # a name without a date: it has meant snapshots of more than one layout


_O200K: Final = "o200k_base"
_CL100K: Final = "cl100k_base"


def _chat(family: str, encoding: str = _O200K, layout: Layout = "namespace", **rules: Any) -> Model:
    return Model(family, encoding, "chat", layout, **rules)


def _reasoning(family: str, layout: Layout, images: ImageRule | None = None, **rules: Any) -> Model:
    return _chat(family, _O200K, layout, reasons=True, images=images or UNKNOWN, **rules)


# The first pattern that matches the start of the reduced name wins, so the special comes before the general.
_FAMILIES: Final[list[tuple[str, Model]]] = [
    (r"whisper", Model("whisper", _O200K, "transcription", by_token=False)),
    (r"(gpt-4o|gpt-audio|gpt-realtime).*-transcribe", Model("transcription", _O200K, "transcription")),
    (r"tts-", Model("tts", _O200K, "speech", by_token=False)),
    (r"gpt-4o(-mini)?-tts", Model("speech", _O200K, "speech")),
    (r"dall-e", Model("dall-e", _O200K, "image", by_token=False)),
    (r"gpt-image-1(-mini)?$", Model("gpt-image-1", _O200K, "image")),
    (r"gpt-image|chatgpt-image", Model("image", _O200K, "image")),
    (r"(omni|text)-moderation", Model("moderation", _CL100K, "moderation")),
    (r"text-embedding-(ada|3)", Model("embedding", _CL100K, "embedding")),
    (r"(text|code)-(similarity|search)-", Model("embedding-001", "r50k_base", "embedding")),
    (r"gpt-3\.5-turbo-instruct", Model("gpt-3.5-turbo-instruct", _CL100K, "completion")),
    (r"(davinci|babbage)-002|davinci:2023|babbage:2023", Model("gpt-3-002", _CL100K, "completion")),
    (
        r"text-davinci-(00[23]|edit)|code-(davinci|cushman)|(davinci|cushman)-codex",
        Model("gpt-3-p50k", "p50k_base", "completion"),
    ),
    (r"text-(davinci|curie|babbage|ada)-001|(davinci|curie|babbage|ada)\b", Model("gpt-3", "r50k_base", "completion")),
    (r"gpt-3\.5-turbo-0301", _chat("gpt-3.5-turbo-0301", _CL100K, "launch")),
    (r"gpt-3\.5-turbo(-16k)?-0613", _chat("gpt-3.5-turbo-0613", _CL100K, "snapshot")),
    (r"gpt-3\.5-turbo-16k", _chat("gpt-3.5-turbo-0613", _CL100K, "snapshot")),
    (r"gpt-3\.5-turbo-1106", _chat("gpt-3.5-turbo", _CL100K, seen=False)),
    (r"gpt-35-turbo$", _chat("gpt-3.5-turbo", _CL100K, undated=True)),
    (r"gpt-3\.5", _chat("gpt-3.5-turbo", _CL100K)),
    (r"gpt-4\.1-mini", _chat("gpt-4.1-mini", images=Patches(1.62))),
    (r"gpt-4\.1-nano", _chat("gpt-4.1-nano", images=Patches(2.46))),
    (r"gpt-4\.1|gpt-4\.5", _chat("gpt-4.1", images=GPT4O_TILES)),
    (r"gpt-4o(-mini)?-(audio|realtime)|gpt-audio|gpt-realtime", _chat("gpt-audio")),
    (r".*(-search|-deep-research|:online)", _chat("search", hidden=True)),
    (r"gpt-4o-mini", _chat("gpt-4o-mini", images=Tiles(2833, 5667))),
    (r"gpt-4o|chatgpt-4o", _chat("gpt-4o", images=GPT4O_TILES)),
    (r"gpt-4-1106-preview", _chat("gpt-4-turbo", _CL100K, images=GPT4O_TILES, seen=False)),
    (r"gpt-4-(turbo|vision|\d{4}-vision|0125|1106)", _chat("gpt-4-turbo", _CL100K, images=GPT4O_TILES)),
    (r"gpt-4$", _chat("gpt-4", _CL100K, "snapshot", undated=True)),
    (r"gpt-4(-32k|-8k)?(-0314|-0613|$)", _chat("gpt-4", _CL100K, "snapshot")),
    (r"gpt-4-", _chat("gpt-4", _CL100K, "snapshot", seen=False)),
    (r"o1-preview", _chat("o1-preview", layout="reasoning", reasons=True, hidden=True)),
    (r"o1-mini", _reasoning("o1-mini", "namespace", seen=False, hidden=True)),
    (
        r"o1",
        _reasoning("o1", "reasoning", Tiles(75, 150, recorded=False), hidden=True),
    ),  # no recording; its preview hides tokens
    (r"o[34]-mini", _reasoning("o3-mini", "reasoning", Patches(1.72))),
    (r"o3", _reasoning("o3", "reasoning", Tiles(75, 150, recorded=False))),
    (r"o[4-9]", _reasoning("o4", "reasoning", seen=False)),
    (r"codex-mini|computer-use", _reasoning("codex-mini", "reasoning", seen=False, hidden=True)),
    (r"gpt-5-mini", _reasoning("gpt-5-mini", "harmony", Patches(1.2))),
    (r"gpt-5-nano", _reasoning("gpt-5-nano", "harmony", Patches(1.5))),
    (r"gpt-5(-\d{4}|$)", _reasoning("gpt-5", "harmony", Tiles(70, 140))),
    (r"gpt-5(\.\d)?-chat", _reasoning("gpt-5-chat", "harmony")),
    (r"gpt-5\.[6-9]", _reasoning("gpt-5.6", "harmony", preamble=1600)),
    (r"gpt-5", _reasoning("gpt-5.x", "harmony")),
    (r"gpt-oss", _reasoning("gpt-oss", "harmony", hidden=True)),
    (r"gpt-([6-9]|\d\d)", _reasoning("gpt-6", "harmony", preamble=1600, seen=False)),
]
_PATTERNS: Final = [(re.compile(pattern), model) for pattern, model in _FAMILIES]
_PROVIDERS: Final = re.compile(r"^(openai|azure|azureml|bedrock|openrouter)[.:]")
NAME_LENGTH_MAX: Final = 256


@lru_cache(maxsize=1024)
def model(name: str) -> Model | None:
    """The family of a model name in any spelling, or None when it is of no family we know."""
    if len(name) > NAME_LENGTH_MAX:
        return None
    reduced = reduce_name(name)
    return next((found for pattern, found in _PATTERNS if pattern.match(reduced)), None)


def reduce_name(name: str) -> str:
    """OpenAI's own spelling, without provider and fine-tune (`azure/gpt-35-turbo-0613` → `gpt-3.5-turbo-0613`).

    Azure's `gpt-35-turbo` stays: what it stands for depends on the deployment, OpenAI's own alias is the last snapshot.
    """
    reduced = name.strip().lower().rsplit("/", 1)[-1]
    reduced = _PROVIDERS.sub("", reduced)
    if reduced.startswith("ft:"):
        reduced = reduced.removeprefix("ft:").split(":", 1)[0]
    if reduced == "gpt-35-turbo":
        return reduced
    return reduced.replace("gpt-35", "gpt-3.5").replace("gpt3.5", "gpt-3.5")
