"""What has been made of a price book, kept as long as the book: each change that an operator makes is a new one."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from pricing.book import Book

P = ParamSpec("P")
T = TypeVar("T")
Make = Callable[Concatenate[Book, P], T]

KEPT_MAX = 200
"""More than there are stretches between changes of the book, twice: for JSON and CSV."""


def kept(make: Make[P, T]) -> Make[P, T]:
    """Make a thing once for a book and its other arguments, which are hashable. It must not hold the book."""
    books: WeakKeyDictionary[Book, dict[object, T]] = WeakKeyDictionary()

    @wraps(make)
    def get(book: Book, /, *args: P.args, **kwargs: P.kwargs) -> T:
        things = books.setdefault(book, {})
        question = (args, *kwargs.items())
        if question not in things:
            while len(things) >= KEPT_MAX:
                del things[next(iter(things))]  # the oldest: yesterday's page
            things[question] = make(book, *args, **kwargs)
        return things[question]

    return get
