"""What LLM requests cost: exact, dated, explained. Pure: no I/O but its own tables; beside the standard
library it needs msgspec, and what counts tokens needs tiktoken alone.

    from pricing import book, rating, usage

    prices = book.load()
    used = usage.read(b'{"prompt_tokens": 19, "completion_tokens": 10}')
    charge = rating.rate_request(prices, used, model="gpt-4", at=datetime.now(UTC))
    charge.amount       # picodollars; charge.lines explains them

money     exact dollars: parsing, printing, the one rounding
units     what can be billed, how it is counted, how it nests
usage     strict readers of every spelling of usage → disjoint quantities (nesting)
entries   the rows of the book's tables, every fault named by file and line
names     the exact rules by which a model's name is recognised
book      the price book: layers, aliases, the entry in force at an instant, the digest
charge    price, rate, charge, lines; an amount recomputed from its stored factors
rating    rate_request: the hot path
check     what a person should look at before trusting the book (peers: other price lists, in development)

Importing this package reads nothing; `book.load()` reads pricing/tables.
"""
