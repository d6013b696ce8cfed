"""Tests of other modules once more, in a city whose database is PostgreSQL: some of each part of
the service, and those in which several write at once. All of them run there with
`ZHENGLIAN_TEST_ENGINE=postgresql`.
"""

from tests.api.engine import POSTGRESQL
from tests.api.service import Service
from tests.api.test_changes import (
    test_a_change_from_proposal_to_ledger,
    test_two_processes_approve_the_same_change,
)
from tests.api.test_claims import (
    lender,
    test_no_raw_field_in_reply_log_or_ledger,
    test_one_consent_cannot_be_used_twice_at_once,
)
from tests.api.test_credits import (
    test_an_erased_entry_is_gone_and_its_proofs_still_verify,
)
from tests.api.test_enrolment import (
    test_a_key_enrolled_elsewhere_counts_here,
)
from tests.api.test_idempotency import (
    test_eight_at_once_have_one_effect,
    test_the_answer_is_durable_with_the_write_or_not_at_all,
)
from tests.api.test_licences import (
    test_many_are_all_or_none_and_every_fault_is_told,
    test_of_two_clerks_at_once_one_wins,
    test_search_by_number_and_by_holder,
    test_the_database_holds_nothing_personal_in_the_clear,
)

ENGINE = POSTGRESQL

__all__ = [
    "lender",
    "test_a_change_from_proposal_to_ledger",
    "test_a_key_enrolled_elsewhere_counts_here",
    "test_an_erased_entry_is_gone_and_its_proofs_still_verify",
    "test_eight_at_once_have_one_effect",
    "test_many_are_all_or_none_and_every_fault_is_told",
    "test_no_raw_field_in_reply_log_or_ledger",
    "test_of_two_clerks_at_once_one_wins",
    "test_one_consent_cannot_be_used_twice_at_once",
    "test_search_by_number_and_by_holder",
    "test_the_answer_is_durable_with_the_write_or_not_at_all",
    "test_the_database_holds_nothing_personal_in_the_clear",
    "test_two_processes_approve_the_same_change",
]


def test_it_is_postgresql(service: Service) -> None:
    """None of these tests would notice if it were not."""
    assert service.city.settings.database_url.startswith("postgresql:")
    assert service.city.database_file is None
    checks = service.get(None, "/readyz").json()["checks"]
    assert (checks["checkpoint"], "file" in checks) == ("current", False)
