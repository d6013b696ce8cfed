"""Trust packs over HTTP, opened as a counter opens them."""

import shutil
from hashlib import sha256
from pathlib import Path

import pytest

import api.packs
import api.status_indices
from api import change_facts
from api.city import City
from api.errors import ServiceError
from api.pack_shelf import PackShelf
from api.packs import PackCache, make_pack, packs_folder, update_from
from api.signed_lists import compromise_facts
from tests.api.service import (
    CHIEFS,
    DAY,
    NOW,
    Service,
    decide,
    enrol_key,
    lose_keys,
    problem_of,
)
from verifier.errors import Refused
from verifier.judge import judge
from verifier.kinds import DEPARTMENT_CHANGED, KEY_CHANGED
from verifier.merkle import leaf_hash
from verifier.pack import open_pack, read_pack
from verifier.pack_update import apply_update, check_successor, parse_update
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
    use.licences.indices._block = 3
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
    indices = use.licences.indices
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


# --- what stands in a pack -----------------------------------------------------------------------


def test_a_pack_of_the_service_passes_every_check(service: Service) -> None:
    service.issue()
    data = service.get(None, "/v1/pack").content
    found = read_pack(data, thorough=True)
    assert found.trust.policy is None  # no city is founded with witnesses
    assert set(found.leaves) == set(service.city.enrolled)


def test_a_compromised_key_and_its_list(service: Service) -> None:
    """Red after, green before, at a counter with nothing but the pack and the compact code."""
    city = service.city
    kid = city.signer("market").kid
    scope = sorted(city.authorities.keys[kid].scope)
    before = [service.issue(number=number, until="2031-09-01") for number in range(3)]
    service.clock.step(DAY)
    since = city.now()
    after = service.issue(number=3)
    service.clock.step(DAY)
    decide(city, KEY_CHANGED, compromise_facts(city, kid, since), "market-1")
    enrol_key(city, "market", scope)
    trust = open_pack(make_pack(city), thorough=True)
    assert trust.signed_lists.keys() == {kid}
    for issued in before:
        assert trust.signed_lists[kid].holds(leaf_hash(city.ledger.entry(issued["index"])))
        assert colour(service, issued["qr"], trust) == (Colour.GREEN, "valid")
    assert colour(service, after["qr"], trust) == (Colour.RED, "key-compromised")
    (kept,) = packs_folder(city).glob("*.zllist")
    assert kept.read_bytes() == trust.signed_lists[kid].data
    kept.write_bytes(b"damaged")
    again = open_pack(make_pack(city)).signed_lists[kid]
    assert kept.read_bytes() == again.data == trust.signed_lists[kid].data


def test_a_merged_departments_list_is_signed_by_its_successor(service: Service) -> None:
    issued = service.issue()
    decide(service.city, DEPARTMENT_CHANGED, change_facts.merged("market", "health"))
    trust = open_pack(make_pack(service.city), thorough=True)
    assert colour(service, issued["qr"], trust) == (Colour.GREEN, "valid")


def test_a_key_reported_while_a_pack_is_made_costs_its_list_alone(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = service.city
    service.issue()
    other = service.issue("id-card")
    made = api.packs.status_token
    kid = city.signer("market").kid

    def meanwhile(city: City, wanted: api.packs.StatusList) -> bytes:
        token = made(city, wanted)
        if wanted.department == "market":
            decide(city, KEY_CHANGED, compromise_facts(city, kid, city.now()), *CHIEFS)
        return token

    monkeypatch.setattr(api.packs, "status_token", meanwhile)
    trust = open_pack(make_pack(city), thorough=True)
    assert trust.statuses.lookup(city.issuer("market"), 0, 0) is None
    assert colour(service, other["qr"], trust) == (Colour.GREEN, "valid")


def test_a_pack_that_counters_would_refuse_is_not_handed_out(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    made = api.packs._make

    def broken(city: City) -> bytes:
        tries.append(1)
        return made(city)[:-1] + b"x"

    monkeypatch.setattr(api.packs, "_make", broken)
    with pytest.raises(Refused, match="pack-wrong-signer"):
        make_pack(service.city)
    assert len(tries) == 3


# --- over HTTP -----------------------------------------------------------------------------------


def test_a_caller_that_has_the_pack_is_told_so(service: Service) -> None:
    answer = service.get(None, "/v1/pack")
    tag = answer.headers["etag"]
    assert tag == f'"{sha256(answer.content).hexdigest()}"'
    for known in (tag, f"W/{tag}", f'"x", {tag}'):
        again = service.get(None, "/v1/pack", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    service.issue()
    newer = service.get(None, "/v1/pack", headers={"If-None-Match": tag})
    assert newer.status_code == 200
    assert newer.headers["etag"] != tag


def update(service: Service, held: bytes) -> bytes:
    answer = service.get(None, f"/v1/pack/updates/{sha256(held).hexdigest()}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/cbor"
    return answer.content


def test_an_update_brings_what_the_whole_pack_would(service: Service) -> None:
    qr = service.issue()["qr"]
    held = service.get(None, "/v1/pack").content
    revoked = service.issue(number=1)
    service.set_state(revoked["record_id"], "revoked", "penalty-revocation")
    service.clock.step(3_600)
    data = update(service, held)
    new = service.get(None, "/v1/pack").content
    found = parse_update(data)
    assert apply_update(held, found) == new
    check_successor(read_pack(held), read_pack(new, thorough=True), found.consistency)
    assert len(data) < len(new) / 10
    trust = open_pack(new)
    assert colour(service, qr, trust) == (Colour.GREEN, "valid")
    assert colour(service, revoked["qr"], trust)[1] == "status-revoked"
    assert update(service, held) == data  # made once
    assert apply_update(new, parse_update(update(service, new))) == new


def test_an_update_from_a_pack_nobody_kept(service: Service) -> None:
    for digest in ("0" * 64, sha256(b"x").hexdigest()):
        problem_of(service.get(None, f"/v1/pack/updates/{digest}"), "pack-unknown", 404)
    for wrong in ("x", "A" * 64, "0" * 63, "0" * 65):
        problem_of(service.get(None, f"/v1/pack/updates/{wrong}"), "request-invalid", 422)


def test_a_ledger_behind_a_pack_makes_no_update_from_it(service: Service) -> None:
    """A database restored from a backup that is older than what a counter holds."""
    old = service.get(None, "/v1/pack").content
    service.issue()
    with pytest.raises(Refused, match=r"^pack-older"):
        update_from(service.city, make_pack(service.city), old)


def test_packs_outlive_the_process_but_not_their_use(service: Service) -> None:
    held = service.get(None, "/v1/pack").content
    digest = sha256(held).digest()
    service.issue()
    again = PackCache(service.city)
    assert parse_update(again.update(digest)).base == digest
    service.clock.step(service.city.settings.pack_hours * 3600 + 1)
    again.get()
    with pytest.raises(ServiceError, match="pack-unknown"):
        again.update(digest)
    shutil.rmtree(packs_folder(service.city))
    service.issue(number=1)
    assert again.get() == again.get()


# --- the shelf -----------------------------------------------------------------------------------


def test_the_oldest_packs_go_first(tmp_path: Path) -> None:
    shelf = PackShelf(tmp_path / "packs", seconds=100, max_bytes=30)
    packs = [bytes([n]) * 10 for n in range(5)]
    digests = [shelf.put(pack, NOW + n) for n, pack in enumerate(packs)]
    assert digests == [sha256(pack).digest() for pack in packs]
    assert [shelf.get(digest) for digest in digests] == [None, None, *packs[2:]]
    shelf.put(b"later", NOW + 103)
    assert [shelf.get(digest) is None for digest in digests] == [True, True, True, False, False]
    assert shelf.put(packs[4], NOW) == digests[4]


def test_a_damaged_pack_is_not_on_the_shelf(tmp_path: Path) -> None:
    shelf = PackShelf(tmp_path, seconds=100)
    digest = shelf.put(b"a pack", NOW)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"a pock")
    assert shelf.get(digest) is None
    assert shelf.get(bytes(32)) is None
