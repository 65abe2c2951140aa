"""The table of faults in the documents is that of the tests."""

from __future__ import annotations

import fault_table


def test_the_table_is_up_to_date() -> None:
    assert fault_table.TABLE.read_text(encoding="utf-8") == fault_table.table(), "run `python tests/fault_table.py`"


def test_every_fault_is_told_once() -> None:
    faults = [fault for fault, _, _ in fault_table.rows()]

    assert len(faults) > 20
    assert len(faults) == len(set(faults))
