"""Pure rules of the domain: codes, working days, the catalogue. No database, no web."""
