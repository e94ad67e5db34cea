"""Every refusal of this package, as a class whose message is a full sentence.

PricingError
├── MoneyError          text that is not an amount of dollars (pricing.money)
├── MultiplierError     text that is not a multiplier from 0 to 10
├── UsageError          a report of usage that cannot be billed; names the JSON path
│   ├── MalformedUsage      wrong type, unknown field, absurd number, no known spelling
│   └── ImpossibleUsage     counts that contradict each other: both numbers are named
├── Unpriced            the book has no price: the event is kept, never free, never guessed (rules.md, Money 4)
└── BookError           the tables of the book are wrong; every fault named by file and line
"""


class PricingError(Exception):
    """Root of every error raised on purpose here."""


class MultiplierError(PricingError, ValueError):
    """A multiplier that is not a plain decimal from 0 to 10 with at most 12 decimals."""


class UsageError(PricingError, ValueError):
    """A report of usage that is refused; `path` is the JSON path within the usage object."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{detail} (at {path})")
        self.path = path
        self.detail = detail


class MalformedUsage(UsageError):
    """The report does not have the shape of any known spelling."""


class ImpossibleUsage(UsageError):
    """The counts contradict each other: a part larger than its whole, or a total that is not the sum."""


class Unpriced(PricingError, LookupError):
    """No price is known for this model, or for one dimension that the request used.

    `model` is the name as the event gave it, `dimension` the one without a price (None: the whole model or its tier),
    `nearest` the known names most like an unknown one.
    """

    def __init__(
        self, sentence: str, *, model: str, dimension: str | None = None, nearest: tuple[str, ...] = ()
    ) -> None:
        super().__init__(sentence)
        self.model = model
        self.dimension = dimension
        self.nearest = nearest


class BookError(PricingError, ValueError):
    """The tables are refused as a whole; `faults` are sentences that begin with file:line."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(f"The price book has {len(faults)} fault(s):\n" + "\n".join(faults))
        self.faults = faults
