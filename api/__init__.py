"""The counter: use-cases, HTTP, commands, pages, settings and wiring."""

__version__ = "0.1.0"
