"""COSE receipts (RFC 9942) of this city's ledger, and the keys that verify them.

A receipt has no room for cosignatures, so nobody can tell from one whether witnesses had seen its
tree. Therefore it is given under a final checkpoint only: until then there is none. It rests on
the same checkpoint as the entry's tlog-proof. The log's key signs each tree once, and its receipts
share that signature.
"""

import threading
from collections import OrderedDict
from typing import Any, Final

from api.city import City
from keys.names import kid
from keys.signer import Signer
from keys.suites import BY_NAME
from ledger.ledger import FINAL
from verifier.checkpoint import Checkpoint, parse_checkpoint
from verifier.codec import b64url_encode, cbor_encode
from verifier.cose_receipt import ConsistencyProof, InclusionProof, make_receipt, sign_root
from verifier.note import VerifierKey, parse_note
from verifier.transparent import attach_receipts

_KEPT: Final = 256
_LOG_KEY: Final = "log"
_KID, _ALG = 2, 3  # of a COSE_Key (RFC 9052 §7.1)


class Receipts:
    """Makes receipts. Safe for use by many threads; signing may block."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._lock = threading.Lock()
        self._signer: Signer | None = None
        self._signatures: OrderedDict[bytes, bytes] = OrderedDict()

    def inclusion(self, index: int) -> bytes | None:
        """The receipt of an entry, or None while no final checkpoint covers it.

        Raises `LedgerError` ledger-out-of-range; those of the log's key.
        """
        proven = self._city.ledger.prove(index)
        if proven.finality != FINAL:
            return None
        tree = parse_checkpoint(parse_note(proven.proof.checkpoint).text)
        proof = InclusionProof(tree.size, index, proven.proof.hashes)
        return make_receipt(proof, self._key, self._signature(tree))

    def consistency(self, older: int) -> bytes:
        """The receipt that the final tree begins with the tree of `older` leaves.

        Raises `LedgerError` ledger-out-of-range; those of the log's key.
        """
        ledger = self._city.ledger
        tree = parse_checkpoint(parse_note(ledger.checkpoint()).text)
        path = ledger.consistency_proof(older, tree.size)
        proof = ConsistencyProof(older, tree.size, tuple(path))
        return make_receipt(proof, self._key, self._signature(tree))

    def transparent(self, index: int) -> bytes | None:
        """The entry with its receipt in it, or None while there is no receipt."""
        receipt = self.inclusion(index)
        return (
            None if receipt is None else attach_receipts(self._city.ledger.entry(index), [receipt])
        )

    @property
    def _key(self) -> VerifierKey:
        return self._city.trust().log_key

    def _signature(self, tree: Checkpoint) -> bytes:
        name = tree.size.to_bytes(8, "big") + tree.root
        with self._lock:
            signature = self._signatures.get(name)
            if signature is None:
                if self._signer is None:
                    self._signer = self._city.custody.open(_LOG_KEY)
                signature = sign_root(tree.root, tree.size, self._key, self._signer)
                self._signatures[name] = signature
                if len(self._signatures) > _KEPT:
                    self._signatures.popitem(last=False)
            return signature

    # --- keys ------------------------------------------------------------------------------------

    def keys(self) -> dict[str, bytes]:
        """COSE_Keys that verify receipts, by the base64url of their key ids."""
        suite, public = BY_NAME["ed25519"], self._key.public
        key_id = kid(suite, public)
        named: dict[int, Any] = {**suite.cose_key(public), _KID: key_id, _ALG: suite.cose_alg}
        return {b64url_encode(key_id): cbor_encode(named)}
