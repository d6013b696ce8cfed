"""`python -m verifier`: the offline verifier with `keys` and `verifier` alone."""

from verifier.cli import main

raise SystemExit(main())
