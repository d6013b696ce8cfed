"""Who calls, on hot endpoints: what an API key was found to be holds to the end of the second."""

import asyncio
from hashlib import sha256
from typing import Final

from starlette.requests import Request

from api.city import City
from api.errors import ServiceError
from api.principals import Principal, authenticate

_MOST: Final = 1_024
_SCHEME: Final = "bearer "


class Callers:
    """Principals by API key, of one second. Keys themselves are not kept."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._second = -1
        self._known: dict[bytes, Principal] = {}

    async def of(self, request: Request, now: int) -> Principal:
        """The caller at Unix time `now`: who was revoked is let in for less than a second more.

        Raises `ServiceError`: credentials-missing, credentials-invalid, credentials-revoked.
        """
        given = request.headers.get("authorization", "")
        if given[: len(_SCHEME)].lower() != _SCHEME:
            raise ServiceError("credentials-missing")
        api_key = given[len(_SCHEME) :].strip()
        name = sha256(api_key.encode("utf-8", "replace")).digest()
        if now != self._second or len(self._known) >= _MOST:
            self._second, self._known = now, {}
        caller = self._known.get(name)
        if caller is None:
            known = self._known
            caller = await asyncio.to_thread(authenticate, self._city.store, api_key)
            known[name] = caller  # of the second in which it was asked
        request.state.client = caller.client  # for the request log
        return caller
