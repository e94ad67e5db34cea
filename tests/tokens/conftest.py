"""The calculator as anybody gets it, and the shipped book."""

import httpx
import pytest

from pricing import book as books
from pricing.book import Book


@pytest.fixture(scope="session")
def book() -> Book:
    return books.load()


@pytest.fixture
def anybody(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The app, asked without a key."""
    del client.headers["Authorization"]
    return client
