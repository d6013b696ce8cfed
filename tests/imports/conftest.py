"""A copy of the founded city for each test, as in `tests.api`."""

from tests.api.conftest import _remembered, app, city, clock, folder, service, template

__all__ = ["_remembered", "app", "city", "clock", "folder", "service", "template"]
