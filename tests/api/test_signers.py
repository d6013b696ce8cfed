"""Keys in custody are opened when first needed, and once: it takes the better part of a second."""

import time
from concurrent.futures import ThreadPoolExecutor

from api.signers import Signers
from keys.signer import Signer
from tests.api.service import Service


def test_a_key_is_opened_once_for_all_who_wait(service: Service) -> None:
    custody = service.city.signers._custody
    opened: list[str] = []

    class Slow:
        def list(self) -> object:
            return custody.list()

        def open(self, name: str) -> Signer:
            opened.append(name)
            time.sleep(0.05)
            return custody.open(name)

    signers = Signers(Slow())  # type: ignore[arg-type]
    (key,) = service.city.authorities.keys_of(service.city.issuer("market"))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(signers.open, [key.kid] * 8))
    assert opened == [name for kid, name in signers.look().items() if kid == key.kid]
    assert len({id(each) for each in found}) == 1
