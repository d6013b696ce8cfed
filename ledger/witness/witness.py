"""The decisions of a witness (C2SP tlog-witness): bytes in, an answer out, no web.

`add-checkpoint` follows the published version 1.0.0 and the clarifications since: the empty tree
has one root, an empty proof goes with an old size of 0, a trusted key's failing signature is 403.
In one place they differ: for one size with two roots 1.0.0 says 409, as is done here, the text
since July 2026 says 422. `sign-subtree` and the monitoring side are not in 1.0.0 and follow that
newer text.

Order of the checks of `add-checkpoint`, and what refuses:

1. The request parses                                                              400
2. The log is known by its origin                                                  404
3. Trusted keys of the log signed, none of their signatures fails; others are ignored   403
4. The old size is not above the new                                               400
5. The old size is the size on record, 0 before the first                          409 and that size
6. Of one size the roots are one                                                   409 and that size
7. The new tree continues the one on record                                        422
8. The checkpoint is on record, durably; then it is answered                       200

Steps 5 to 8 happen with no other writer in between, or two requests could cosign a tree and then
a shorter one, and roll the witness back.
"""

from collections.abc import Callable, Sequence

from keys.errors import ZhenglianError
from ledger.witness.errors import FAILED, WitnessError, WitnessSetupError
from ledger.witness.model import (
    FORK,
    UNPROVEN,
    Answer,
    Evidence,
    Recorded,
    State,
    WitnessedLog,
)
from ledger.witness.wire import AddCheckpoint, parse_add_checkpoint, parse_sign_subtree
from verifier.errors import Refused
from verifier.merkle import check_consistency, roots_from_consistency
from verifier.note import (
    MLDSA44,
    Note,
    NoteSignature,
    NoteSigner,
    VerifierKey,
    format_note,
    verify_note,
    verify_signatures,
)
from verifier.subtree import check_range, check_subtree

TEXT = "text/plain; charset=utf-8"
TLOG_SIZE = "text/x.tlog.size"

Clock = Callable[[], float]


class Witness:
    """One witness: a name, its keys, and what it has seen. Safe for many threads.

    `signers` cosign (types 0x04, 0x06) under one name; every one signs every checkpoint. `clock`
    gives Unix seconds; a clock set back never sets a log's timestamps back. `on_evidence` hears of
    every misfit that is news. What is refused is an `Answer` with its status, not raised.
    """

    def __init__(
        self,
        state: State,
        signers: Sequence[NoteSigner],
        clock: Clock,
        on_evidence: Callable[[Evidence], object] = lambda _evidence: None,
    ) -> None:
        self.keys: tuple[VerifierKey, ...] = tuple(signer.key for signer in signers)
        if not all(signer.stamped for signer in signers) or len(set(self.keys)) < len(signers):
            raise WitnessSetupError("witness-name", "its keys cosign, each once")
        if len({key.name for key in self.keys}) != 1:
            raise WitnessSetupError("witness-name", "one name for all its keys")
        self.state = state
        self._signers = tuple(signers)
        self._subtrees = next((one for one in signers if one.key.type == MLDSA44), None)
        self._clock = clock
        self._on_evidence = on_evidence

    @property
    def name(self) -> str:
        return self.keys[0].name

    def add_checkpoint(self, body: bytes) -> Answer:
        """The answer to `POST add-checkpoint`: on success one signature line for each key."""
        return answered(self._add_checkpoint, body)

    def sign_subtree(self, body: bytes) -> Answer:
        """The answer to `POST sign-subtree`: on success one ML-DSA-44 line over the subtree.

        1. The request parses; its range is a subtree, within the checkpoint               400
        2. The log is known, and this witness has an ML-DSA-44 key                         404
        3. That key has cosigned the checkpoint: no state is asked                         403
        4. The subtree is of the checkpoint's tree                                         422

        Signatures over the subtree that came along, which other witnesses may ask for to fend off
        floods, are not looked at: no key is known here for them.
        """
        return answered(self._sign_subtree, body)

    def checkpoint(self, hashed: str) -> Answer:
        """The answer to `GET <hashed>/checkpoint`: the latest checkpoint cosigned of the log whose
        `origin_hash` that is, with the log's signatures and the witness's."""
        return answered(self._checkpoint, hashed)

    def _checkpoint(self, hashed: str) -> Answer:
        recorded = self.state.recorded_as(hashed)
        if recorded is None:
            raise WitnessError("witness-never-cosigned")
        return Answer(200, TEXT, recorded.note)

    def _sign_subtree(self, body: bytes) -> Answer:
        request = parse_sign_subtree(body)  # 1
        checkpoint = request.checkpoint
        try:
            check_range(request.start, request.end, checkpoint.size)
        except Refused as error:
            raise WitnessError("witness-subtree", error.detail) from error
        if self._subtrees is None:  # 2
            raise WitnessError("witness-path", "sign-subtree")
        if self.state.log(checkpoint.origin) is None:
            raise WitnessError("witness-log-unknown", checkpoint.origin[:64])
        try:
            verify_note(request.note, [self._subtrees.key])  # 3
        except Refused as error:
            raise WitnessError("witness-not-cosigned", str(error)) from error
        try:
            check_subtree(  # 4
                start=request.start,
                end=request.end,
                size=checkpoint.size,
                subroot=request.root,
                root=checkpoint.root,
                proof=request.proof,
            )
        except Refused as error:
            raise WitnessError("witness-subtree-proof", str(error)) from error
        line = self._subtrees.sign_subtree(
            origin=checkpoint.origin, start=request.start, end=request.end, root=request.root
        )
        return Answer(200, TEXT, line.line().encode())

    def _add_checkpoint(self, body: bytes) -> Answer:
        request = parse_add_checkpoint(body)  # 1
        origin = request.checkpoint.origin
        log = self.state.log(origin)
        if log is None:  # 2
            raise WitnessError("witness-log-unknown", origin[:64])
        signed = _signed_by(log, request.note)  # 3
        if request.old_size > request.checkpoint.size:  # 4
            raise WitnessError("witness-old-size", f"{request.old_size}")
        own: list[NoteSignature] = []

        def decide(recorded: Recorded | None) -> Recorded:
            _check(request, recorded)  # 5, 6, 7
            stamp = max(1, int(self._clock()), recorded.stamp if recorded else 0)
            own[:] = [signer.sign(request.note.text, stamp) for signer in self._signers]
            note = format_note(Note(request.note.text, (*signed, *own)))
            return Recorded(request.checkpoint.size, request.checkpoint.root, stamp, note)

        try:
            _check(request, self.state.recorded(origin))  # what is refused already needs no turn
            self.state.advance(origin, decide)  # 8
        except _Misfit as misfit:
            if misfit.evidence:
                self._keep(misfit, request, signed)
            raise
        return Answer(200, TEXT, "".join(line.line() for line in own).encode())

    def _keep(
        self, misfit: "_Misfit", request: AddCheckpoint, signed: Sequence[NoteSignature]
    ) -> None:
        if misfit.recorded is None:
            return
        evidence = Evidence(
            origin=request.checkpoint.origin,
            kind=misfit.evidence,
            size=request.checkpoint.size,
            root=request.checkpoint.root,
            seen=int(self._clock()),
            note=format_note(Note(request.note.text, tuple(signed))),
            against=misfit.recorded.note,
            hashes=request.proof if misfit.code == "witness-inconsistent" else (),
        )
        if self.state.keep(evidence):
            self._on_evidence(evidence)


class _Misfit(WitnessError):
    """A checkpoint that does not fit the one on record; `evidence` is a kind of it, or ""."""

    def __init__(self, code: str, detail: str, evidence: str, recorded: Recorded | None) -> None:
        super().__init__(code, detail)
        self.evidence = evidence
        self.recorded = recorded


def answered(handler: Callable[..., Answer], *arguments: object) -> Answer:
    """The answer of a handler, or that of what it raised: `<code>: <Chinese> <English>`.

    A conflict is answered with the size on record instead, as the protocol has it.
    """
    try:
        return handler(*arguments)
    except ZhenglianError as error:
        if error.code == "witness-conflict":
            return Answer(409, TLOG_SIZE, f"{error.detail}\n".encode(), error.code)
        status = WitnessError.STATUS.get(error.code, FAILED)
        detail = f" ({error.detail})" if error.detail and status < FAILED else ""
        text = f"{error.code}: {error.zh} {error.en}{detail}\n"
        return Answer(status, TEXT, text.encode("utf-8", "replace"), error.code)


def _signed_by(log: WitnessedLog, note: Note) -> tuple[NoteSignature, ...]:
    """The lines of the log's trusted keys, one a key, all of which hold.

    Lines of others are left out of all that is kept: nobody has checked them.
    """
    try:
        verified = verify_signatures(note, log.keys, at_least=log.at_least)
    except Refused as error:
        raise WitnessError("witness-log-signature", str(error)) from error
    names = {(key.name, key.key_id) for key, _ in verified}
    lines = {
        (line.name, line.key_id): line
        for line in note.signatures
        if (line.name, line.key_id) in names
    }
    return tuple(lines.values())


def _check(request: AddCheckpoint, recorded: Recorded | None) -> None:
    """Steps 5 to 7 against what is recorded. Raises `_Misfit`."""
    size = recorded.size if recorded else 0
    checkpoint = request.checkpoint
    forked = recorded and checkpoint.size == size and checkpoint.root != recorded.root
    if request.old_size != size or forked:  # 5, 6
        raise _Misfit("witness-conflict", str(size), FORK if forked else "", recorded)
    try:
        _check_growth(request, recorded)  # 7
    except Refused as error:
        evidence = UNPROVEN if 0 < size < checkpoint.size else ""
        if recorded and _leads_elsewhere(request, recorded):
            evidence = FORK
        raise _Misfit("witness-inconsistent", str(error), evidence, recorded) from error


def _check_growth(request: AddCheckpoint, recorded: Recorded | None) -> None:
    """The checkpoint continues what is recorded. Refused: as `check_consistency`."""
    if request.wrong_empty_root:
        raise Refused("merkle-root-mismatch", "of the empty tree")
    if recorded is None or not recorded.size:
        if request.proof:
            raise Refused("merkle-proof-length", "from size 0 there is nothing to prove")
        return
    check_consistency(
        size1=recorded.size,
        size2=request.checkpoint.size,
        root1=recorded.root,
        root2=request.checkpoint.root,
        proof=request.proof,
    )


def _leads_elsewhere(request: AddCheckpoint, recorded: Recorded) -> bool:
    """The proof belongs to the new tree, and gives it another root at the recorded size.

    Where that size is a power of two a proof does not hold the old root, and nothing follows.
    """
    try:
        old, new = roots_from_consistency(
            size1=recorded.size, size2=request.checkpoint.size, subproof=request.proof
        )
    except Refused:
        return False
    return new == request.checkpoint.root and old != recorded.root
