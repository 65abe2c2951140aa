"""Every guard has its test, and the documents say so; that the tests fail without them is a slow proof."""

from __future__ import annotations

import pytest
from guards import GUARDS, PROJECT, Guard, survives, table

each_guard = pytest.mark.parametrize("guard", GUARDS, ids=[guard.name for guard in GUARDS])


@each_guard
def test_a_guard_stands_where_it_is_said_to(guard: Guard) -> None:
    assert (PROJECT / guard.file).read_text(encoding="utf-8").count(guard.text) == 1
    file, _, name = guard.test.partition("::")
    assert f"def {name}(" in (PROJECT / "tests" / file).read_text(encoding="utf-8")


def test_the_guards_are_listed_for_people() -> None:
    assert table() in (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(600)
@each_guard
def test_a_test_fails_without_the_guard(guard: Guard) -> None:
    assert not survives(guard), f"{guard.test} passes without: {guard.name}"
