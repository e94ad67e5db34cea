"""Token counting and verification, offline: pure functions on decoded JSON, with tiktoken as the only engine.

count(path, model, request, response)          → Counted: an interval for each side, with the reason for its width
verify(path, model, request, response, usage)  → Verification: verdict, both numbers, reason
billable(verification, policy)                 → Billable
assemble(chunks)                               → the response of a stream
pieces(encoding, text)                         → the text as its tokens
"""

from pricing.policies import Policy
from pricing.tokens.bounds import Count
from pricing.tokens.counting import Counted, Uncounted, Unit, count, endpoint_of, path_of
from pricing.tokens.encodings import RanksCorruptError, preload
from pricing.tokens.limits import DEFAULT as DEFAULT_LIMITS
from pricing.tokens.limits import Limits
from pricing.tokens.models import Model, model
from pricing.tokens.streams import assemble, server_sent
from pricing.tokens.text import Piece, pieces, tokens
from pricing.tokens.verify import Billable, Reported, Side, Verdict, Verification, billable, judge, verify

__all__ = [
    "DEFAULT_LIMITS",
    "Billable",
    "Count",
    "Counted",
    "Limits",
    "Model",
    "Piece",
    "Policy",
    "RanksCorruptError",
    "Reported",
    "Side",
    "Uncounted",
    "Unit",
    "Verdict",
    "Verification",
    "assemble",
    "billable",
    "count",
    "endpoint_of",
    "judge",
    "model",
    "path_of",
    "pieces",
    "preload",
    "server_sent",
    "tokens",
    "verify",
]
