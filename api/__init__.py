"""The counter: HTTP, commands, settings, wiring, use-cases, pages."""
