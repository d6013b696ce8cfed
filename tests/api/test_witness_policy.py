"""The witness policy at the service: proposed, approved, published, overridden."""

from typing import Any

import pytest

from api import change_facts
from api.changes import ChangeDesk
from api.packs import make_pack
from tests.api.service import CHIEFS, Service, decide, officer, problem_of
from tests.city import signer
from tests.verifier.helpers import refused
from verifier import kinds
from verifier.change import parse_proposal, sign_approval
from verifier.codec import b64encode
from verifier.note import COSIGNATURE, make_vkey
from verifier.pack import read_pack
from verifier.policy import parse_policy

ONE, TWO = CHIEFS
LINES = "".join(
    f"witness {n} {make_vkey(f'{n}.example', signer(n).public, COSIGNATURE).text()} https://{n}.example\n"
    for n in ("audit", "court")
)
BOTH = f"{LINES}group both 2 audit court\nquorum both\n"
AUDIT = f"{LINES}quorum audit\n"


def draft(service: Service, facts: dict[str, Any], by: str = ONE) -> bytes:
    return ChangeDesk(service.city).draft(kinds.WITNESSES, facts, officer(by))


def propose(service: Service, facts: dict[str, Any], by: str = ONE) -> Any:
    return service.post("operator", "/v1/changes", {"cose": b64encode(draft(service, facts, by))})


def policy_of(service: Service) -> str:
    answer = service.get(None, "/v1/log/policy")
    assert answer.status_code == 200
    return answer.text


def test_from_proposal_to_published_policy(service: Service) -> None:
    log, second = service.city.authorities.log_key, service.city.authorities.log_pq_key
    assert log is not None
    assert second is not None
    before = f"log {log.text()}\n# signed by this key too: {second.text()}\nquorum none\n"
    assert policy_of(service) == before
    raw = draft(service, change_facts.witnesses(BOTH))
    shown = service.post("operator", "/v1/changes", {"cose": b64encode(raw)}).json()
    assert (shown["kind"], shown["concerns"]) == ("witnesses", "operator")
    assert shown["summary_zh"] == "见证策略：至少 2 家见证方联署：audit、court"
    assert policy_of(service) == before
    path, now = f"/v1/changes/{shown['id']}/approval", service.city.now()
    own = sign_approval(parse_proposal(raw), at=now, signer=officer(ONE))
    problem_of(service.post("operator", path, {"cose": b64encode(own)}), "change-own-approval")
    other = sign_approval(parse_proposal(raw), at=now, signer=officer(TWO))
    logged = service.post("operator", path, {"cose": b64encode(other)}).json()
    assert logged["state"] == "logged"
    assert service.city.authorities.policy_index == logged["index"]
    text = policy_of(service)
    assert f"# entry {logged['index']} of the ledger" in text
    policy = parse_policy(text)
    assert [party.key for party in policy.logs] == [log]
    assert policy.least() == 2
    found = service.get(None, "/.well-known/zhenglian").json()["log"]
    assert [witness["url"] for witness in found["witnesses"]] == [
        "https://audit.example",
        "https://court.example",
    ]
    assert found["vkey_ml_dsa"] == second.text()


def test_an_override_says_so_wherever_the_policy_is_shown(service: Service) -> None:
    decide(service.city, kinds.WITNESSES, change_facts.witnesses(BOTH))
    problem_of(propose(service, change_facts.witnesses(AUDIT)), "witnesses-override-missing")
    override = change_facts.witnesses(AUDIT, "court 断电")
    shown = propose(service, override).json()
    assert "例外" in shown["summary_zh"]
    assert "现为 2 家" in shown["summary_zh"]
    assert "where it was 2" in shown["summary_en"]
    decide(service.city, kinds.WITNESSES, override)
    assert "# OVERRIDE: court 断电\n" in policy_of(service)
    assert parse_policy(policy_of(service)).least() == 1
    again = change_facts.witnesses(BOTH, "court 已恢复")
    problem_of(propose(service, again), "witnesses-override-needless")
    decide(service.city, kinds.WITNESSES, change_facts.witnesses(BOTH))
    assert "OVERRIDE" not in policy_of(service)


@pytest.mark.parametrize("who", ["market-1", "market-2"])
def test_a_department_does_not_set_the_policy(service: Service, who: str) -> None:
    problem_of(propose(service, change_facts.witnesses(BOTH), who), "officer-not-entitled")


def test_a_file_is_put_in_its_one_spelling_and_checked_before_anybody_signs() -> None:
    spoken = BOTH.replace("group both 2", "# either will not do\n\ngroup  both\tall")
    assert change_facts.witnesses(spoken) == {"policy": BOTH}
    with refused("witnesses-malformed"):
        change_facts.witnesses(BOTH.replace(" https://court.example", ""))


def test_a_licence_is_used_at_once_and_its_proof_when_witnesses_have_cosigned(
    service: Service,
) -> None:
    """Here no witness answers: all goes on, but nothing is called witnessed that is not."""
    early = service.issue(until="2031-09-01")
    decide(service.city, kinds.WITNESSES, change_facts.witnesses(BOTH))
    late = service.issue(number=1, until="2031-09-01")
    verdict = service.verify(late["qr"])
    assert verdict["colour"] == "green"
    codes = {check["number"]: check["code"] for check in verdict["checks"]}
    assert (codes[8], codes[9]) == ("passed", "witnesses-pending")
    params = {"profile": "transparent", "format": "text"}
    answer = service.get("market", f"/v1/licences/{late['record_id']}/qr", params=params)
    problem_of(answer, "licence-not-witnessed", 409)
    answer = service.get("market", f"/v1/licences/{early['record_id']}/qr", params=params)
    assert answer.status_code == 200
    assert service.verify(answer.text)["colour"] == "green"


def test_packs_stay_with_the_last_final_checkpoint(service: Service) -> None:
    before = read_pack(make_pack(service.city))
    decide(service.city, kinds.WITNESSES, change_facts.witnesses(BOTH))
    service.issue()
    pack = read_pack(make_pack(service.city), thorough=True)
    assert (pack.checkpoint, pack.leaves) == (before.checkpoint, before.leaves)
    assert pack.trust.policy is None
    decide(service.city, kinds.WITNESSES, change_facts.witnesses("quorum none\n", "断电"))
    pack = read_pack(make_pack(service.city), thorough=True)
    assert pack.checkpoint.size == service.city.ledger.size
    assert pack.trust.authorities.policy_override == "断电"
