"""Backups: every row of the ledger and of the application's tables, in one file of no engine.

`make` writes one from a database that is in use, `check` reads one, `restore` fills an empty
database of either engine; `examine` makes the checks of a backup on the database itself. The file
is described in `ledger.backup.form`, what is checked in `ledger.backup.inspection`.
"""
