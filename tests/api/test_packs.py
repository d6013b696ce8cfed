"""Trust packs over HTTP, opened as a counter opens them."""

import pytest

import api.packs
import api.status_indices
from tests.api.service import DAY, Service, lose_keys
from verifier.judge import judge
from verifier.pack import open_pack
from verifier.trust import Trust
from verifier.verdict import Colour


def pack(service: Service) -> Trust:
    answer = service.get(None, "/v1/pack")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/cose")
    key = service.get(None, "/v1/log/key").text.strip()
    return open_pack(answer.content, log_key=key)


def colour(service: Service, qr: str, trust: Trust, later: int = 0) -> tuple[Colour, str]:
    verdict = judge(qr, trust, service.clock.now + later)
    return verdict.colour, verdict.code


def transparent(service: Service, record_id: str) -> str:
    path = f"/v1/licences/{record_id}/qr"
    params = {"profile": "transparent", "format": "text"}
    return service.get("market", path, params=params).text


def test_a_counter_without_a_network(service: Service) -> None:
    """D2: green as of the sync, whatever the ages; red once revoked before it."""
    good, revoked, later = (service.issue(number=n) for n in range(3))
    service.set_state(revoked["record_id"], "revoked", "penalty-revocation")
    trust = pack(service)
    assert colour(service, good["qr"], trust) == (Colour.GREEN, "valid")
    assert colour(service, transparent(service, good["record_id"]), trust)[0] is Colour.GREEN
    assert colour(service, revoked["qr"], trust) == (Colour.RED, "status-revoked")
    service.set_state(later["record_id"], "revoked", "penalty-revocation")
    assert colour(service, later["qr"], trust, 9_000) == (Colour.GREEN, "valid")
    verdict = judge(later["qr"], trust, service.clock.now + 9_000)
    assert verdict.to_json()["status"]["age_seconds"] == 9_000
    service.clock.step(120)
    assert colour(service, later["qr"], pack(service)) == (Colour.RED, "status-revoked")


def test_a_pack_grows_old(service: Service) -> None:
    qr, trust = service.issue()["qr"], pack(service)
    hours = service.city.settings.pack_hours
    assert colour(service, qr, trust, hours * 3600) == (Colour.GREEN, "valid")
    verdict = colour(service, qr, trust, hours * 3600 + 1)
    assert verdict[0] is Colour.AMBER


def test_a_licence_issued_after_the_sync_is_not_known(service: Service) -> None:
    """Its place in the list was nobody's when the pack was made: amber, until the next sync."""
    service.issue()
    trust = pack(service)
    later = [service.issue(number=3)["qr"], service.issue("id-card")["qr"]]
    for qr in later:
        assert colour(service, qr, trust) == (Colour.AMBER, "status-unknown")
    for qr in later:
        assert colour(service, qr, pack(service)) == (Colour.GREEN, "valid")


def test_a_pack_with_no_licence_at_all(service: Service) -> None:
    trust = pack(service)
    assert trust.statuses.lookup(service.city.issuer("market"), 0, 0) is None
    assert len(trust.authorities.departments) == 15


def test_a_new_state_is_in_the_next_pack_at_once(service: Service) -> None:
    """Packs are kept for a minute only while nothing changes."""
    issued = service.issue()
    first = service.get(None, "/v1/pack").content
    assert service.get(None, "/v1/pack").content == first
    service.set_state(issued["record_id"], "suspended", "penalty-suspension")
    assert colour(service, issued["qr"], pack(service)) == (Colour.RED, "status-suspended")
    service.clock.step(DAY)
    assert service.get(None, "/v1/pack").content != first


def test_a_department_may_fill_several_lists(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (api.status_indices, api.packs):
        monkeypatch.setattr(module, "MAX_ENTRIES", 4)
    use = service.client.app.state.services  # type: ignore[attr-defined]
    use.licences._indices._block = 3
    issued = [service.issue(number=n) for n in range(10)]
    service.set_state(issued[1]["record_id"], "suspended", "penalty-suspension")
    service.set_state(issued[8]["record_id"], "revoked", "penalty-revocation")
    trust = pack(service)
    found = [colour(service, each["qr"], trust)[1] for each in issued]
    expected = ["valid"] * 10
    expected[1], expected[8] = "status-suspended", "status-revoked"
    assert found == expected
    lists = {use.licences.row(each["record_id"]).status_list for each in issued}
    assert lists == {0, 1, 2}


def test_status_places_are_never_handed_out_twice(service: Service) -> None:
    """A restart forgets the rest of a block, and nothing else."""
    use = service.client.app.state.services  # type: ignore[attr-defined]
    indices = use.licences._indices
    seen = [indices.take("market") for _ in range(1_001)]
    again = api.status_indices.StatusIndices(service.city)
    seen += [again.take("market") for _ in range(3)]
    assert len(set(seen)) == len(seen)
    assert again.take("police") == (0, 0)


def test_a_list_without_its_key_is_left_out(service: Service) -> None:
    """Another server keeps this department's key: its licences are amber from this pack."""
    qr, other = service.issue()["qr"], service.issue("id-card")["qr"]
    lose_keys(service.city, "market")
    trust = pack(service)
    assert colour(service, qr, trust) == (Colour.AMBER, "status-unknown")
    assert colour(service, other, trust) == (Colour.GREEN, "valid")
