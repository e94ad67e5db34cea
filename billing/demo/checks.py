"""Whether every cent is accounted for: what was sent against what was invoiced, by arithmetic of its own.

Nothing of the service's pricing is used here. Quantities come from the events that were sent; amounts are worked out
again, in exact fractions, from the factors that the invoices print.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from billing.demo.month import Run
from billing.demo.traffic import Traffic
from pricing import money

Use = tuple[str, str, str]
"""Account, model, dimension."""


def quantities(usage: dict[str, Any]) -> dict[str, int]:
    """What is billed of a usage: tokens in and out, images by quality and size, characters."""
    if "n" in usage:
        return {f"image:{usage.get('quality', 'standard')}:{usage['size']}": usage["n"]}
    if "characters" in usage:
        return {"input_characters": usage["characters"]}
    return {"input": usage["prompt_tokens"], "output": usage.get("completion_tokens", 0)}


def sent(month: Traffic) -> Counter[Use]:
    """What should be invoiced: every right event once, if its price is known and it came before closing."""
    total: Counter[Use] = Counter()
    for wave in ("in_time", "after_the_rest"):
        for post in month.posts[wave]:
            if post.kind == "usage" and "usage" in post.event:
                for dimension, quantity in quantities(post.event["usage"]).items():
                    total[post.customer.account, post.event["model"], dimension] += quantity
    return +total


def invoiced(invoices: dict[str, dict[str, Any]]) -> Counter[Use]:
    total: Counter[Use] = Counter()
    for account, invoice in invoices.items():
        for line in invoice["lines"]:
            dimension = ":".join(filter(None, (line["dimension"], line["variant"])))
            total[account, line["model"], dimension] += line["quantity"]
    return +total


def quantity_differences(run: Run) -> Iterator[str]:
    expected, found = sent(run.traffic), invoiced(run.invoices)
    for use in sorted(expected.keys() | found.keys()):
        if expected[use] != found[use]:
            yield f"{' '.join(use)}: {expected[use]:,} sent, {found[use]:,} invoiced."


def line_cost(line: dict[str, Any], multiplier: str) -> Fraction:
    """Dollars of an invoice line at a multiplier: its own for what we charge, 1 for the official price."""
    return Fraction(line["quantity"], line["unit_size"]) * Fraction(line["official_unit_price"]) * Fraction(multiplier)


def amount_differences(run: Run) -> Iterator[str]:
    """Lines that are not the product of their factors, totals that are not the sum of their lines."""
    for invoice in run.invoices.values():
        number = invoice["number"]
        for line in invoice["lines"]:
            exact = line_cost(line, line["multiplier"]) + Fraction(line["per_event_rounding"])
            if abs(exact - Fraction(line["amount_exact"])) > Fraction(1, 2 * money.PICOS_PER_DOLLAR):
                yield f"{number} {line['model']} {line['dimension']}: {line['amount_exact']} is not {float(exact)}."
            if abs(Fraction(line["amount"]) - Fraction(line["amount_exact"])) > Fraction("0.005"):
                yield f"{number} {line['model']} {line['dimension']}: {line['amount']} is not the nearest cent."
        for name, column in (("total", "amount"), ("amount_exact", "amount_exact")):
            if Fraction(invoice[name]) != sum(Fraction(line[column]) for line in invoice["lines"]):
                yield f"{number}: its {name} is not the sum of its lines."


def statement_differences(run: Run) -> Iterator[str]:
    """Statements that do not add up, and wallets that hold another sum than the statement and what came later."""
    for account, invoice in run.invoices.items():
        amounts = {name: money.parse(amount) for name, amount in invoice["statement"].items()}
        plus = amounts["opening"] + amounts["top_ups"] + amounts["grants"] + amounts["adjustments"]
        closing = plus - amounts["usage"] - amounts["expired"]
        if closing != amounts["closing"] or amounts["usage"] != money.parse(invoice["total"]):
            yield f"{invoice['number']}: its statement does not add up."
        wallet = closing - run.late.get(account, 0)
        if run.balances[account] != wallet:
            shown = money.format(run.balances[account])
            yield f"{account} holds {shown}; by its statement and late usage it should be {money.format(wallet)}."


CHECKS: dict[str, Callable[[Run], Iterator[str]]] = {
    "What was invoiced is what was sent: every token, image and character, once": quantity_differences,
    "Every line is quantity × official price × multiplier, worked out again in fractions": amount_differences,
    "Opening + top-ups − usage = closing, and closing − late usage = the wallet": statement_differences,
}
