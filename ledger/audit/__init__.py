"""The audit: anyone rebuilds the root, checks every signature, and lists what breaks a rule.

`ledger.audit.run.audit` reads a log's public read side and nothing else.
"""

from ledger.audit.errors import AuditError
from ledger.audit.findings import FINDINGS, Finding, Severity
from ledger.audit.report import AuditReport
from ledger.audit.run import audit

__all__ = ["FINDINGS", "AuditError", "AuditReport", "Finding", "Severity", "audit"]
