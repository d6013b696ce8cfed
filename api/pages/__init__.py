"""Pages for people: the start page, and the page that checks a code. No account, both languages."""

from api.pages.routes import pages_router
from api.pages.start import DemoKey, DepartmentCount, Sample, StartData, Witnesses

__all__ = ["DemoKey", "DepartmentCount", "Sample", "StartData", "Witnesses", "pages_router"]
