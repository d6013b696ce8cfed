"""Claims: typed questions about a person or an organisation, answered yes, no or unknown.

`Claims.ask`, in this order:

1. The predicate is in the catalogue, and open to the caller's role, purpose and legal basis.
2. A case number is given and the parameters are canonical.
3. The basis holds: one's own data, an organisation's public record, or a consent that fits.
4. The same question within its receipt's minutes has its receipt already: that one is returned.
5. An evaluator answers; nothing but yes, no or unknown leaves it.
6. The question is signed by the operator, logged, and its row sealed, in one transaction that
   also uses up the consent. Only then is the receipt handed out.

The ledger sees two salted digests: of what was asked under which right, whose disclosure the asker
gets; and of the parameters, of which the asker gets the salt alone, since it knows the rest. So it
can show later which question was answered, and no reply repeats a number or a name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select

from api.city import City
from api.consents import Consent, Consents, check_usable, subject_nym, use_up
from api.credits import Credits
from api.errors import ServiceError
from api.evaluators import EVALUATORS, no_source
from api.licences import Licences
from api.principals import Principal
from api.rules.catalogue import Catalogue
from api.rules.claims import Question, read_question
from api.rules.credit import is_citizen_number
from api.rules.days import china_day
from api.tables import QUESTIONS
from ledger.model import Appended, Draft
from verifier.authorities import OPERATOR
from verifier.codec import cbor_decode, cbor_encode
from verifier.disclosure import SALT_SIZE, disclosure_digest, make_disclosure, parse_disclosure
from verifier.kinds import QUESTION
from verifier.merkle import leaf_hash
from verifier.receipt import Receipt, open_receipt, sign_receipt
from verifier.statement import Content

QUESTION_GROUP, PARAMETERS_GROUP = "question", "parameters"
_MAX_BOX = 1 << 16


@dataclass(frozen=True, slots=True)
class Answered:
    """What the asker gets. `disclosure` says what was asked under which right; `salt` completes
    the disclosure `[salt, parameters, "parameters"]`, which the asker can rebuild."""

    question_id: str
    index: int
    predicate: str
    answer: str
    receipt: bytes
    disclosure: bytes
    salt: bytes
    issued_at: int
    expires_at: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as its subject sees it. Texts as the asker gave them; `at` in Unix seconds."""

    question_id: str
    index: int
    at: int
    client: str
    client_name: str
    predicate: str
    purpose: str
    basis: str
    case_number: str
    consent: str | None
    answer: str


Remember = Callable[[Connection, str], None]
"""Runs in the question's transaction with its id."""


class _AskedMeanwhile(Exception):
    """The same question was answered first; this one left nothing."""


class Claims:
    """The questions of one city."""

    def __init__(self, city: City, licences: Licences, credit_entries: Credits) -> None:
        self.city = city
        self.consents = Consents(city)
        self._licences = licences
        self._credits = credit_entries

    # asking

    def ask(
        self,
        principal: Principal,
        *,
        predicate: str,
        parameters: Mapping[str, object],
        purpose: str | None,
        legal_basis: str | None,
        case_number: str | None,
        consent: str | None = None,
        effects: Remember | None = None,
    ) -> Answered:
        """See the head of this module. Raises `claim-…`, `consent-…`, `role-missing`."""
        city = self.city
        question = read_question(
            city.catalogue,
            principal.roles,
            predicate,
            parameters,
            purpose=purpose,
            legal_basis=legal_basis,
            case_number=case_number,
            consent=consent,
        )  # 1, 2
        now = city.now()
        subjects = self._subjects(question)
        given = self._check_basis(principal, question, subjects)  # 3
        replay_nym = self._replay_nym(principal, question)
        earlier = self._earlier(replay_nym, now)  # 4
        if earlier is not None:
            return earlier
        if given is not None:
            check_usable(given, now)
        evaluate = EVALUATORS.get(question.predicate.id, no_source)
        answer = evaluate(city, self._licences, self._credits, question.parameters, now)  # 5
        try:
            return self._log(
                principal, question, subjects, given, replay_nym, answer, now, effects
            )  # 6
        except _AskedMeanwhile:
            earlier = self._earlier(replay_nym, now)
            if earlier is None:
                raise ServiceError("claim-asked-meanwhile") from None
            return earlier

    def answered(self, principal: Principal, question_id: str) -> Answered:
        """What was answered to the caller earlier; `claim-unknown`."""
        rows = self._rows(QUESTIONS.c.id == question_id, QUESTIONS.c.client == principal.client)
        if not rows:
            raise ServiceError("claim-unknown", question_id[:40])
        return self._open(rows[0])

    def verify(self, receipt: bytes) -> Receipt:
        """A receipt of this city within its minutes; raises `Refused` receipt-…"""
        return open_receipt(receipt, self.city.trust(), self.city.now())

    # who asked

    def of_subject(
        self, principal: Principal, *, before: int | None = None, limit: int | None = None
    ) -> list[Asked]:
        """Who asked about the caller, newest first; those older than ledger index `before`."""
        nym = subject_nym(principal)
        mine = or_(QUESTIONS.c.subject_nym == nym, QUESTIONS.c.other_nym == nym)
        return [self._asked(row) for row in self._rows(mine, before=before, limit=limit)]

    # the pieces

    def _subjects(self, question: Question) -> tuple[bytes | None, bytes | None]:
        """Pseudonyms of whom the question is about; of a licence number, its holder."""
        params, vault = question.parameters, self.city.vault
        first, second = params.get("subject"), params.get("other")
        other = None if second is None else vault.pseudonym("subject", second)
        if first is not None:
            return vault.pseudonym("subject", first), other
        if "number" in params and "type" in params:
            type_ = self.city.catalogue.licence_type(params["type"])
            held = self._licences.by_number(type_, params["number"])
            if held:
                return self._licences.row(held[-1].record_id).holder_nym, other
        return None, other

    def _check_basis(
        self,
        principal: Principal,
        question: Question,
        subjects: tuple[bytes | None, bytes | None],
    ) -> Consent | None:
        if question.basis.id == "own-request" and (
            principal.subject_nym is None or subjects[0] != principal.subject_nym
        ):
            raise ServiceError("claim-not-own", question.predicate.id)
        if question.basis.id == "public-record" and _about_a_person(self.city.catalogue, question):
            raise ServiceError("claim-person-not-public", question.predicate.id)
        if question.consent is None:
            return None
        return self.consents.fitting(
            question.consent,
            client=principal.client,
            subject=subjects[0] or b"",
            predicate=question.predicate.id,
            purpose=question.purpose.id,
        )

    def _replay_nym(self, principal: Principal, question: Question) -> bytes:
        asked = [
            principal.client,
            question.predicate.id,
            dict(question.parameters),
            question.purpose.id,
            question.basis.id,
            question.case_number,
            question.consent or "",
        ]
        return self.city.vault.pseudonym("question", cbor_encode(asked).hex())

    def _earlier(self, replay_nym: bytes, now: int) -> Answered | None:
        rows = self._rows(
            QUESTIONS.c.replay_nym == replay_nym, QUESTIONS.c.expires_at >= now, limit=1
        )
        return self._open(rows[0]) if rows else None

    def _log(
        self,
        principal: Principal,
        question: Question,
        subjects: tuple[bytes | None, bytes | None],
        given: Consent | None,
        replay_nym: bytes,
        answer: str,
        now: int,
        effects: Remember | None,
    ) -> Answered:
        city, question_id = self.city, self.city.new_record_id()
        salt = city.random(SALT_SIZE)
        parameters = make_disclosure(PARAMETERS_GROUP, question.parameters, salt)
        disclosure = make_disclosure(
            QUESTION_GROUP,
            self._right(principal, question, question_id, subjects[0], answer, now),
            city.random(SALT_SIZE),
        )
        asked = disclosure_digest(disclosure)
        content = Content(
            QUESTION,
            rule_set=city.catalogue.ruleset_for(china_day(now)).id,
            digests=[asked, disclosure_digest(parameters)],
        )
        statement = city.sign(content, department=OPERATOR, record_id=question_id, at=now)
        expires = now + 60 * city.settings.receipt_minutes
        receipt = sign_receipt(
            Receipt(
                question_id,
                question.predicate.id,
                answer,
                principal.client,
                leaf_hash(statement),
                asked,
                now,
                expires,
            ),
            issuer=city.issuer(OPERATOR),
            signer=city.signer(OPERATOR),
        )
        sealed = city.vault.seal(
            question_id, cbor_encode([receipt, disclosure, salt, principal.name])
        )
        row = {
            "id": question_id,
            "subject_nym": subjects[0],
            "other_nym": subjects[1],
            "replay_nym": replay_nym,
            "client": principal.client,
            "asked_at": now,
            "expires_at": expires,
            "wrapped_key": sealed.wrapped_key,
            "box": sealed.box,
        }

        def write(connection: Connection, appended: Sequence[Appended]) -> int:
            again = select(QUESTIONS.c.id).where(
                QUESTIONS.c.replay_nym == replay_nym, QUESTIONS.c.expires_at >= now
            )
            if connection.execute(again).first() is not None:
                raise _AskedMeanwhile
            if given is not None:
                use_up(connection, given, now)
            (entry,) = appended
            connection.execute(insert(QUESTIONS), {**row, "idx": entry.index})
            if effects is not None:
                effects(connection, question_id)
            return entry.index

        index = city.append([Draft(statement, QUESTION, OPERATOR)], write).result
        return Answered(
            question_id,
            index,
            question.predicate.id,
            answer,
            receipt,
            disclosure,
            salt,
            now,
            expires,
            replayed=False,
        )

    def _right(
        self,
        principal: Principal,
        question: Question,
        question_id: str,
        subject: bytes | None,
        answer: str,
        now: int,
    ) -> dict[str, Any]:
        """What was asked under which right. The subject's name in it is good for this question
        alone: two askers, or two questions, cannot be joined by it."""
        name = f"{question_id}/{(subject or b'').hex()}"
        right: dict[str, Any] = {
            "asker": principal.client,
            "predicate": question.predicate.id,
            "purpose": question.purpose.id,
            "basis": question.basis.id,
            "case": question.case_number,
            "subject": self.city.vault.pseudonym("asked", name).hex(),
            "answer": answer,
            "at": now,
        }
        return right if question.consent is None else {**right, "consent": question.consent}

    def _rows(
        self, *where: Any, before: int | None = None, limit: int | None = None
    ) -> list[Row[Any]]:
        query = select(QUESTIONS).where(*where).order_by(QUESTIONS.c.idx.desc()).limit(limit)
        if before is not None:
            query = query.where(QUESTIONS.c.idx < before)
        with self.city.store.read() as reader:
            return list(reader.connection.execute(query).all())

    def _sealed(self, row: Row[Any]) -> tuple[bytes, bytes, bytes, str]:
        opened = self.city.vault.open(row.id, row.wrapped_key, row.box)
        receipt, disclosure, salt, name = cbor_decode(opened, max_bytes=_MAX_BOX)
        return receipt, disclosure, salt, name

    def _open(self, row: Row[Any]) -> Answered:
        receipt, disclosure, salt, _ = self._sealed(row)
        asked = parse_disclosure(disclosure).fields
        return Answered(
            row.id,
            row.idx,
            asked["predicate"],
            asked["answer"],
            receipt,
            disclosure,
            salt,
            row.asked_at,
            row.expires_at,
            replayed=True,
        )

    def _asked(self, row: Row[Any]) -> Asked:
        _, disclosure, _, name = self._sealed(row)
        asked = parse_disclosure(disclosure).fields
        return Asked(
            row.id,
            row.idx,
            row.asked_at,
            row.client,
            name,
            asked["predicate"],
            asked["purpose"],
            asked["basis"],
            asked["case"],
            asked.get("consent"),
            asked["answer"],
        )


def _about_a_person(catalogue: Catalogue, question: Question) -> bool:
    """Whether the public record is not enough of a basis: anything that may be a person's."""
    params = question.parameters
    if "subject" in params:
        return is_citizen_number(params["subject"])
    return catalogue.licence_type(params["type"]).holder == "person" if "type" in params else True
