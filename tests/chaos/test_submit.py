"""A bulk file whose submission is killed in the middle and begun again: every row is ordered, once."""

import subprocess
import sys
from pathlib import Path

import pytest

from models import counter
from models.base import make_engine, read
from models.state import State
from tests.chaos.conftest import Size
from tests.chaos.stack import ROOT, dealers, up
from tests.sandbox import eventually


@pytest.mark.timeout(900)
def test_rows_killed_in_the_middle_and_submitted_again_are_each_ordered_once(tmp_path: Path, size: Size) -> None:
    rows = size(3_000, 10_000)
    file = tmp_path / "dealers.csv"
    file.write_text(dealers(rows))
    settings = {"TRUNKLINE_AVANSER_RATE": "5000", "TRUNKLINE_AVANSER_MAX_IN_FLIGHT": "200"}
    with up(tmp_path / "home", **settings) as stack:
        engine = make_engine(f"sqlite:///{tmp_path / 'home' / 'trunkline.db'}")

        def taken() -> int:
            return sum(read(engine, counter.of_all).values())

        first = subprocess.Popen(
            [sys.executable, "-m", "worker.cli", "submit", str(file)],
            cwd=ROOT, env=dict(stack.environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        eventually(lambda: taken() > 0, within=60)
        first.kill()
        first.wait()
        assert 0 < taken() < rows

        again = stack.run("submit", str(file), "--json").json
        assert taken() == rows
        assert again["already_taken"] + again["taken"] == rows
        assert again["already_taken"] > 0

        third = stack.run("submit", str(file), "--json").json
        assert (third["taken"], third["already_taken"], taken()) == (0, rows, rows)

        eventually(lambda: read(engine, counter.of_all)[State.COMPLETED] == rows, within=300)
        engine.dispose()
        summary = stack.summary()
        assert (summary["orders"], summary["numbers_taken"], summary["bought_twice"]) == (rows, rows, 0)
        assert summary["by_custom_id"] == {}
