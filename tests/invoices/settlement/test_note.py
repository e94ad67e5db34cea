"""What credit notes take back: exact to the cent, whatever the parts."""

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import Unprocessable
from billing.invoices.invoice import Customer, Draft, Issuer, Statement
from billing.invoices.lines import Factors, Line
from billing.invoices.periods import Period
from billing.invoices.settlement.note import CENT, Credited, Part, Taking, Wanted, take
from billing.invoices.taxes import Rate, taxes_of

START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
FACTORS = Factors(
    model="gpt-4",
    dimension="input",
    variant="",
    entry="e",
    official=Decimal("30"),
    multiplier=Decimal("0.5"),
    unit="1M_tokens",
    unit_size=1_000_000,
)
FRESH = Credited(lines={}, subtotal=0, taxes=())


def line(quantity: int, cents: int) -> Line:
    return Line(
        factors=FACTORS,
        price_ids=(1,),
        quantity=quantity,
        amount_exact=cents * CENT,
        amount=cents * CENT,
        events=1,
        first_at=START,
        last_at=START,
        evidence=b"",
    )


def invoice(lines: list[Line], rates: tuple[Rate, ...] = ()) -> Draft:
    subtotal = sum(one.amount for one in lines)
    return Draft(
        id="inv_1",
        account_id="acct_1",
        period=Period(START, END),
        time_zone="UTC",
        issuer=Issuer(name="I", address=""),
        customer=Customer(name="C", email=None, address=None),
        lines=tuple(lines),
        statement=Statement(opening=0, top_ups=0, grants=0, usage=subtotal, expired=0, adjustments=0),
        amount_exact=subtotal,
        subtotal=subtotal,
        taxes=taxes_of(subtotal, rates),
        residue=0,
    )


def fresh(of: Draft) -> Credited:
    return Credited(lines={}, subtotal=0, taxes=[(0, 0)] * len(of.taxes))


def after(before: Credited, taking: Taking) -> Credited:
    lines = defaultdict(Part, before.lines)
    for position, part in taking.lines.items():
        taken = lines[position]
        lines[position] = Part(quantity=taken.quantity + part.quantity, amount=taken.amount + part.amount)
    taxes = [
        (taxable + tax.taxable, amount + tax.amount)
        for (taxable, amount), tax in zip(before.taxes, taking.taxes, strict=True)
    ]
    return Credited(lines=lines, subtotal=before.subtotal + taking.subtotal, taxes=taxes)


def rate(percent: str, *, inclusive: bool = False) -> Rate:
    return Rate(id=f"r{percent}", name=f"VAT {percent}%", percent=Decimal(percent), inclusive=inclusive)


RATES = st.one_of(
    st.just(()),
    st.lists(st.sampled_from(["19", "7", "8.25", "0"]), min_size=1, max_size=2, unique=True).flatmap(
        lambda percents: st.booleans().map(
            lambda inclusive: tuple(rate(percent, inclusive=inclusive) for percent in percents)
        )
    ),
)
LINES = st.lists(st.builds(line, st.integers(1, 10**9), st.integers(-300, 100_000)), min_size=1, max_size=5)
STEPS = st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["amount", "quantity", "rest"]), st.fractions(0, 1)))


@given(LINES, RATES, STEPS)
def test_any_partition_gives_back_every_cent_and_no_more(
    lines: list[Line], rates: tuple[Rate, ...], steps: list[tuple[int, str, object]]
) -> None:
    of = invoice(lines, rates)
    before, notes = fresh(of), []
    for position, kind, share in steps:
        try:
            taking = take(of, before, [wanted(of, before, position, kind, share)])
        except Unprocessable:
            continue
        notes.append(taking)
        before = after(before, taking)
        assert 0 <= before.subtotal <= of.subtotal
    notes.append(take(of, before, None))
    before = after(before, notes[-1])
    assert sum(note.total for note in notes) == of.total
    assert sum(note.subtotal for note in notes) == of.subtotal
    assert before.taxes == [(tax.taxable, tax.amount) for tax in of.taxes]
    for position, one in enumerate(of.lines, start=1):
        assert before.lines[position].amount == one.amount
    for note in notes[:-1]:
        assert note.total > 0
        assert all(tax.amount >= 0 and tax.amount % CENT == 0 for tax in note.taxes)
        if rates:
            assert {tax.taxable for tax in note.taxes} == {note.subtotal - note.tax_included}


def wanted(of: Draft, before: Credited, position: int, kind: str, share: object) -> Wanted:
    one = of.lines[min(position, len(of.lines)) - 1]
    left = Part() if position not in before.lines else before.lines[position]
    if kind == "amount":
        return Wanted(position=position, amount=int((one.amount - left.amount) // CENT * share) * CENT)
    if kind == "quantity":
        return Wanted(position=position, quantity=max(1, int(one.quantity * share)))
    return Wanted(position=position)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (Wanted(position=3), "invalid_line"),
        (Wanted(position=1, amount=11 * CENT), "credit_too_large"),
        (Wanted(position=1, amount=0), "credit_too_large"),
        (Wanted(position=1, quantity=101), "credit_too_large"),
        (Wanted(position=1, quantity=1), "credit_too_large"),
        (Wanted(position=2), "credit_too_large"),
        (Wanted(position=2, amount=-CENT), "credit_too_large"),
    ],
)
def test_what_a_line_has_not_is_refused(wanted: Wanted, code: str) -> None:
    """A hundredth of ten cents is no cent; less than nothing is credited with all else only."""
    of = invoice([line(100, 10), line(100, -4)])
    with pytest.raises(Unprocessable) as refused:
        take(of, fresh(of), [wanted])
    assert refused.value.code == code


def test_a_line_is_named_once() -> None:
    of = invoice([line(100, 10)])
    with pytest.raises(Unprocessable) as refused:
        take(of, fresh(of), [Wanted(position=1, amount=CENT), Wanted(position=1, amount=CENT)])
    assert refused.value.code == "invalid_line"


def test_no_more_than_the_whole_invoice_is_credited() -> None:
    """Ten cents of usage, of which four were given back on the same invoice."""
    of = invoice([line(100, 10), line(100, -4)])
    with pytest.raises(Unprocessable, match=r"0\.06 is left"):
        take(of, fresh(of), [Wanted(position=1, amount=7 * CENT)])
    assert take(of, fresh(of), [Wanted(position=1, amount=6 * CENT)]).total == 6 * CENT


def test_shares_of_a_quantity_come_to_the_whole() -> None:
    of = invoice([line(3, 5)])
    before, amounts = fresh(of), []
    for _ in range(3):
        taking = take(of, before, [Wanted(position=1, quantity=1)])
        before = after(before, taking)
        amounts.append(taking.subtotal // CENT)
    assert amounts == [2, 1, 2]
