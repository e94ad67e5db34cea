"""Requests made up from the API's own description, at a real server: whatever comes, it is never our fault (no 500)."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

from tests.serving import Server

EXAMPLES_MAX = 12


def test_no_made_up_request_is_our_fault(server: Server, subtests: pytest.Subtests) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/schema/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 30
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=EXAMPLES_MAX, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=server.headers, checks=[not_a_server_error])

        with subtests.test(operation.label):
            check()
    assert server.stop() == 0
    assert '"level":"ERROR"' not in server.log.read_text()
