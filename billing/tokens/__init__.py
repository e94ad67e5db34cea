"""The token calculator: how many tokens a text, a chat or a whole request is, and what it costs, officially and here.

questions.py  what may be asked, and how it is counted (pure)
costs.py      what a count costs, as an interval (pure)
calculator.py counting off the event loop, in bounded threads
api.py        POST /v1/tokens/count
pages.py      GET and POST /tokens, for people: forms.py reads the form, views.py makes the answer ready to be shown
"""
