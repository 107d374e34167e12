"""The page "Which models" says what the matrix tests."""

from __future__ import annotations

from tests.conformity.checkpoints import FAMILIES
from tests.conformity.table import COLUMNS, table, written


def test_the_page_has_the_table_of_the_matrix() -> None:
    assert written() == table(), "run: python -m tests.conformity.table"


def test_every_limit_is_in_the_table_or_in_the_text() -> None:
    deeds = {deed for family in FAMILIES.values() for deed in family.cannot}
    assert deeds - set(COLUMNS.values()) <= {"empty text"}
