"""What is made of a book lives as long as the book, and no longer."""

import gc
import weakref
from datetime import UTC, datetime

from billing.prices import kept as module
from billing.prices import lists, pages
from billing.prices.catalogue import last_change
from billing.prices.kept import kept
from pricing import book as books
from pricing.book import Book


def test_made_once_for_a_book_and_each_question(book: Book) -> None:
    made: list[str] = []

    @kept
    def letters(_book: Book, word: str) -> list[str]:
        made.append(word)
        return list(word)

    assert letters(book, "ab") is letters(book, "ab")
    assert letters(book, "cd") == ["c", "d"]
    assert letters(books.load(), "ab") == ["a", "b"]
    assert made == ["ab", "cd", "ab"]


def test_the_oldest_goes_when_there_are_too_many(book: Book) -> None:
    made: list[int] = []

    @kept
    def number(_book: Book, each: int) -> int:
        made.append(each)
        return each

    for each in (*range(module.KEPT_MAX + 1), module.KEPT_MAX, 0):
        number(book, each)
    assert made == [*range(module.KEPT_MAX + 1), 0]


def test_an_old_book_is_forgotten() -> None:
    old = books.load()
    now = last_change(old, datetime.now(UTC))
    assert lists.everything(old, "0.5", now, "json")
    assert pages.whole(old, pages.Look("0.5", now.date(), "en", "Relay"))
    gone = weakref.ref(old)
    del old
    gc.collect()
    assert gone() is None
