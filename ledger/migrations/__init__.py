"""The ledger's tables, step by step; `ledger.stores.migrate` runs them.

A step is a file `versions/rNNNN_what.py`. It is never altered after a release that has it.
"""
