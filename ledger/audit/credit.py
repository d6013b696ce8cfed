"""The life of a credit entry, as the service and the audit both read it."""

from verifier.credit import CREDIT_STEPS, Phase

__all__ = ["CREDIT_STEPS", "Phase"]
