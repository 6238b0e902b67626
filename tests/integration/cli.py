"""The command line as tests run it: in this process, with a home and settings of its own."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.engine import Engine

from models.base import make_engine
from tests.factory import KEYRING, SECRET_KEY
from worker.cli import main

CREDENTIALS = {
    "TRUNKLINE_AVANSER_USERNAME": "user",
    "TRUNKLINE_AVANSER_PASSWORD": "secret",
    "TRUNKLINE_AVANSER_ACCOUNT_ID": "1",
}

COLUMNS = (
    "upstream,custom_id,spec.name,spec.service_number.country,spec.service_number.search_type,"
    "spec.service_number.szu,spec.service.type,spec.service.answer_point,spec.service.record_call\n"
)

BODY: dict[str, Any] = {
    "upstream": "avanser",
    "spec": {
        "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},
        "service": {"type": "transfer", "answer_point": "61401603859"},
    },
}


def csv_row(custom_id: str) -> str:
    return f"avanser,{custom_id},service,AU,szu,sydney,transfer,61401603859,true\n"


def csv_file(folder: Path, *custom_ids: str, name: str = "dealers.csv") -> Path:
    path = folder / name
    path.write_text(COLUMNS + "".join(map(csv_row, custom_ids)))
    return path


@dataclass
class Cli:
    """Runs commands; `engine` looks at what they left in the database."""

    folder: Path
    engine: Engine

    def run(self, *words: object, status: int = 0, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(main, [str(word) for word in words], input=stdin)
        assert "Traceback" not in result.output
        assert result.exit_code == status, f"{result.output}\n{result.exception!r}"
        return result

    def json(self, *words: object, status: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", status=status).stdout)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine, no `.env`, and a home of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path / "home"))
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def cli(environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str) -> Iterator[Cli]:
    """On each kind of database; nothing else runs."""
    monkeypatch.setenv("TRUNKLINE_DATABASE_URL", database_url)
    monkeypatch.setenv("TRUNKLINE_SECRET_KEY", SECRET_KEY)
    engine = make_engine(database_url, keyring=KEYRING)
    yield Cli(tmp_path, engine)
    engine.dispose()


@pytest.fixture
def embedded(environment: None, tmp_path: Path) -> Iterator[Cli]:
    """On the embedded default, whose database does not exist yet."""
    engine = make_engine(f"sqlite:///{tmp_path / 'home' / 'trunkline.db'}", keyring=KEYRING)
    yield Cli(tmp_path, engine)
    engine.dispose()
