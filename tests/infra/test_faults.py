"""The checks themselves, proved by faults that are planted in our own template."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import pytest

from tests.infra import agreement, references, rights, soundness
from tests.infra.bicep.tokens import Unreadable
from tests.infra.estate import Estate, estate
from tests.infra.faults import CAUGHT, MISSED, Fault
from tests.infra.policy import POLICY

AS_IT_IS = estate()
ENOUGH = 80
UNTRIED = set[str]()


def with_fault(fault: Fault) -> Estate:
    said = AS_IT_IS.files[fault.file]
    assert fault.old in said, f"{fault.file} does not say {fault.old!r} any more: plant this fault elsewhere"
    return Estate({**AS_IT_IS.files, fault.file: said.replace(fault.old, fault.new, 1)})


def reading(faulty: Estate) -> Iterator[str]:
    try:
        assert faulty.templates
    except Unreadable as problem:
        yield str(problem)


CHECKS: Mapping[str, Callable[[Estate], Iterator[str]]] = {
    **soundness.CHECKS, **rights.CHECKS, **POLICY, **agreement.CHECKS, **references.CHECKS,
    "reading": reading,
}  # fmt: skip


@cache
def found_anyway(check: str) -> frozenset[str]:
    return frozenset(CHECKS[check](AS_IT_IS))


@pytest.mark.parametrize("fault", CAUGHT, ids=lambda fault: fault.what)
def test_it_is_found(fault: Fault) -> None:
    check = CHECKS[fault.found_by]
    anyway = found_anyway(fault.found_by)
    assert next((found for found in check(with_fault(fault)) if found not in anyway), None)


@pytest.mark.parametrize("fault", MISSED, ids=lambda fault: fault.what)
def test_it_is_known_to_be_missed(fault: Fault) -> None:
    """If a check begins to find it, it belongs among those that are found."""
    faulty = with_fault(fault)
    new = {name: set(check(faulty)) - found_anyway(name) for name, check in CHECKS.items()}
    assert {check: found for check, found in new.items() if found} == {}


def test_there_are_enough_and_each_is_another() -> None:
    assert len({fault.what for fault in CAUGHT}) == len(CAUGHT) >= ENOUGH


def test_each_check_has_a_fault_that_only_it_is_asked_to_find() -> None:
    assert CHECKS.keys() - {fault.found_by for fault in CAUGHT} == UNTRIED
