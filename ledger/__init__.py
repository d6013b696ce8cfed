"""The book: an append-only Merkle log over a store, and its public read side.

`Ledger` appends and answers; `ledger.stores` holds every line of SQL; `ledger.readside` reads a
log wherever it lies; `ledger.export` writes it out as static files. Hash rules, entry bytes and
checkpoint text belong to `verifier`, which this floor obeys.
"""
