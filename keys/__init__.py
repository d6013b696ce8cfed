"""The ring: signature suites, key names, custody."""
