"""The catalogue as data: licence types, credit-entry types, departments, predicates, reasons.

Read by `api.rules.catalogue.load_catalogue`; a city may point it at a folder of its own.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
