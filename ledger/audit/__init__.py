"""The audit: anyone rebuilds the root, checks every signature, and lists what breaks a rule.

`ledger.audit.run.audit` reads a log's public read side and nothing else; `ledger.audit.report` is
what it returns; `ledger.audit.findings.FINDINGS` all that it can say. This file imports nothing,
so that worker processes start quickly.
"""
