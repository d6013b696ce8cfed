"""Fixtures of the tests of keys."""

from tests.argon2 import argon2_for_real

__all__ = ["argon2_for_real"]
