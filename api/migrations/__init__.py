"""The application's tables, step by step; `ledger.stores.migrate` runs them.

A step is a file `rNNNN_what.py`, written by `python -m tests.migrations api "what changes"` and
read by its author. It is never altered after a release that has it.
"""
