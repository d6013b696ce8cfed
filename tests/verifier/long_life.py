"""A city whose market's key was suspended and resumed very often."""

from tests.city import ISSUED_AT, City

EVENTS = 10_000


def long_lived(events: int = EVENTS) -> City:
    """Half of the events suspend the key and half resume it, all on the day before `ISSUED_AT`."""
    city = City()
    key = city.departments["market"]
    for number in range(events):
        at = ISSUED_AT - 86_400 + number * 86_400 // events
        city.change_key(key, ("suspend", "resume")[number % 2], at)
    return city
