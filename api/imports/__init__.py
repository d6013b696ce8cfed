"""Many licences from one file: reader, map, plan, engine, report.

    reader      bytes of a CSV or NDJSON file → rows of text, each with its line
    mapfile     the map file (TOML): which column is which field
    mapping     a row → fields of the dictionary, and the legal state it tells
    plan        the order of rows: a renewal comes after what it renews
    decide      a mapped row → issue, renew, end, duplicate or refusal
    engine      batches of a thousand, one transaction each, resumable
    report      what happened, and the error file

Imports go downward in this list's order only from `engine`; the others know nothing of each other
but the row types.
"""
