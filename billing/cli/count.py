"""`billing count`: how many tokens a text or a request is, and what it costs. It needs no database."""

import os
from datetime import UTC, datetime
from itertools import cycle
from typing import Any, BinaryIO

import click
import msgspec
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from billing.cli import Failure
from billing.cli._print import as_json_option, console, print_json
from billing.settings import load
from billing.tokens.calculator import Answer, answered, check_model, examine
from billing.tokens.questions import OUTPUT_TOKENS_MAX, PIECES_CHARACTERS_MAX, Question
from billing.tokens.views import money_span, span
from pricing import book
from pricing.tokens import Piece

STYLES = ("black on bright_green", "black on bright_yellow", "black on bright_cyan", "black on bright_magenta")
MARKS = {" ": "·", "\n": "↵\n", "\t": "→\t"}


@click.command("count")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--model", required=True, metavar="MODEL", help="Such as gpt-4o.")
@click.option("--chat", is_flag=True, help="The file is JSON: a list of messages, or a whole request.")
@click.option(
    "--output", type=click.IntRange(0, OUTPUT_TOKENS_MAX), metavar="TOKENS", help="Suppose an answer of this length."
)
@click.option("--pieces", is_flag=True, help="Show the text in its tokens.")
@as_json_option
def command(file: BinaryIO, model: str, chat: bool, output: int | None, pieces: bool, as_json: bool) -> None:
    """Count the tokens of a text, from FILE or standard input, and say what they cost: officially, and here."""
    given = _request(file.read()) if chat else {"prompt": _text(file.read())}
    question = _question({"model": model, "output_tokens": output, "pieces": pieces, **given})
    settings = load(os.environ)
    prices = book.load(settings.price_file, published=settings.published_prices)
    check_model(model, prices)
    answer = answered(question, examine(question), prices, datetime.now(UTC), settings.multiplier)
    if as_json:
        print_json(answer)
        return
    _print(answer)


def _question(asked: dict[str, Any]) -> Question:
    try:
        return msgspec.convert(asked, Question)
    except msgspec.ValidationError as fault:
        raise Failure(f"This is not a request: {str(fault).partition(' - at ')[0]}.") from None


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as fault:
        raise Failure(f"The text is not UTF-8 (byte {fault.start}).") from None


def _request(content: bytes) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Failure("The chat is not JSON: give a list of messages, or a request that has them.") from None
    return {"messages": given} if isinstance(given, list) else {"request": given}


def _print(answer: Answer) -> None:
    printer = console()
    counted = "not countable" if answer.input is None else f"{span(answer.input)} {answer.unit}"
    printer.print(f"\n  [bold]{escape(answer.model)}[/]  [bold green]{counted}[/]  [dim]{answer.encoding or ''}[/]")
    if answer.reason:
        printer.print(f"  [dim]{escape(answer.reason)}[/]")
    printer.print(_costs(answer))
    if answer.pieces:
        for text in answer.pieces.texts:
            printer.print(Padding(_coloured(text, between="" if printer.is_terminal else "|"), (0, 2, 1, 2)))
        if not answer.pieces.complete:
            printer.print(f"  [dim]The first {PIECES_CHARACTERS_MAX:,} characters are shown.[/]")


def _costs(answer: Answer) -> Padding:
    """Each side and the sum: officially, and here."""
    grid = Table.grid(padding=(0, 3))
    for justify in ("left", "right", "right"):
        grid.add_column(justify=justify)
    if answer.price is None:
        grid.add_row(escape(answer.unpriced or "No price: nothing was counted."))
        return Padding(grid, (1, 2))
    grid.add_row("", "[dim]official[/]", "[dim]ours[/]")
    sides = {"input": answer.price.input, "output": answer.price.output, "together": answer.price.total}
    for name, cost in sides.items():
        if cost is not None:
            grid.add_row(name, money_span(cost.official), f"[bold]{money_span(cost.ours)}[/]")
    return Padding(grid, (1, 2))


def _coloured(pieces: list[Piece], between: str) -> Text:
    """The pieces in turning colours, with marks for blanks; `between` them, where there are no colours, a bar."""
    marked = ("".join(MARKS.get(character, character) for character in piece.text) for piece in pieces)
    return Text(between).join(map(Text, marked, cycle(STYLES)))
