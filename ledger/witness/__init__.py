"""A witness of transparency logs, exactly C2SP tlog-witness: of ours, and of anybody's.

    wire      the bodies of requests
    model     what a witness knows and answers; what its state promises
    witness   the decisions
    errors    its refusals

The state file is `ledger.stores.witness`; the web is one floor up.
"""

from ledger.witness.model import Answer, Evidence, Recorded, State, WitnessedLog, origin_hash
from ledger.witness.wire import format_add_checkpoint, format_sign_subtree
from ledger.witness.witness import Witness

__all__ = [
    "Answer",
    "Evidence",
    "Recorded",
    "State",
    "Witness",
    "WitnessedLog",
    "format_add_checkpoint",
    "format_sign_subtree",
    "origin_hash",
]
