"""Following a log through its public read side, so that nobody is shown a second history.

`ledger.monitor.run.Monitor` makes rounds; what it can say is in `ledger.audit.findings.FINDINGS`.
"""
