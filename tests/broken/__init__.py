"""Broken on purpose: the ledger under faults, and one table that says what came of it.

    python -m tests.broken [--rounds N] [--part NAME …] [--seed N]

Writers are real processes that tell this one, through a pipe, each entry the ledger acknowledged
and each checkpoint they saw; what a pipe holds outlives its writer. After each part
(`tests.broken.check`):

    1  every acknowledged entry is where it was said to be, with a valid inclusion proof under the
       published checkpoint
    2  nothing is there twice, and nothing was said to be in two places
    3  the whole audit is clean: the tree from its entries alone, and every statement
    4  every checkpoint that anybody saw is the root of a prefix of the log; so no two disagree
    5  domain rows stand or fall with their entries

docs/broken.md says what is broken, and holds the table of the last long run.
"""
