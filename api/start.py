"""What the start page says of an open city."""

from collections.abc import Sequence

from api.context import Services
from api.demo import Demo
from api.pages.start import DepartmentCount, StartData


def make_start_data(services: Services, demo: Demo | None) -> StartData:
    """Read anew for each page."""
    city = services.city
    key = city.trust().log_key.text()
    return StartData(
        city_zh=city.settings.name_zh,
        city_en=city.settings.name_en,
        origin=city.origin,
        tree_size=city.ledger.size,
        is_demo=demo is not None,
        demo_keys=() if demo is None else demo.keys,
        samples=() if demo is None else demo.samples,
        counts=lambda: _counts(services),
        checkpoint_path="/log/checkpoint",
        docs_path="/docs",
        audit_command=f"zhenglian audit {city.settings.base_url}/log --vkey '{key}'",
    )


def _counts(services: Services) -> Sequence[DepartmentCount]:
    counts = services.licences.count()
    departments = services.city.authorities.departments
    return [
        DepartmentCount(department.zh, department.en, counts.get(issuer.rpartition("/")[2], 0))
        for issuer, department in departments.items()
        if department.uscc
    ]
