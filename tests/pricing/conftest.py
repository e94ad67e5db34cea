"""The shipped book, once for all tests of pricing; and where the research it was made from may lie."""

from pathlib import Path

import pytest

from pricing import book as books
from pricing.book import Book

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def book() -> Book:
    return books.load()


@pytest.fixture(scope="session")
def listed() -> Book:
    """The book without the platform's published prices: OpenAI's list alone."""
    return books.load(published=False)


@pytest.fixture(scope="session")
def research() -> Path:
    """The folder of the research, beside a checkout of the project; not part of it."""
    if not SHARED.is_dir():
        pytest.skip("the shared research data is not beside this checkout")
    return SHARED
