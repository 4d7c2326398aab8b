"""The page of the benchmarks has a place for each of them, and what is promised there can be missed."""

from pathlib import Path

import pytest

from tests.bench.__main__ import NAMES
from tests.bench.page import KEPT, MISSED, PAGE, Result, Table, replace_section


@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_has_its_place_on_the_page(name: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    replace_section(name, "figures\n", page=page)
    assert f"<!-- begin {name} -->\nfigures\n<!-- end {name} -->\n" in page.read_text(encoding="utf-8")
    assert f"`{name}`" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(("verdict", "missed"), [(KEPT, False), (MISSED, True), ("", False)])
def test_a_limit_that_was_missed_is_noticed_in_any_table(verdict: str, *, missed: bool) -> None:
    row = [["1", verdict]]
    first = Result("storage", "Sessions", ("ms", ""), row, notes="", versions=())
    later = Result("storage", "Sessions", ("ms",), [["1"]], notes="", versions=(), further=[Table(("ms", ""), row)])
    assert (first.has_missed, later.has_missed) == (missed, missed)
