"""Traffic for people who want to see the service work: a month made up from a seed, or a recorded trace.

All of it goes in through the HTTP API, as a gateway's would: nothing here touches the database.

gateway    the HTTP client: few connections, patience with a service that is away
models     how the platform's models are used
customers  who uses them, by a power law, around the world
traffic    a month of requests, with everything that goes wrong in one
mistakes   what goes wrong in it
month      customers, keys, top-ups, traffic, closing, invoices: the demo from end to end
checks     what was sent against what was invoiced, recomputed in fractions
service    a whole service of its own for the demo
trace      reading a recorded trace
replay     posting it
"""
