"""The schema's history: up, down and up again, the same as the models, and never a wait without an end."""

import warnings
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from models.base import make_engine
from models.migrations import SchemaOutOfDate, current, downgrade, head, require_current, upgrade
from models.tables import Base


def differences(engine: Engine, metadata: sa.MetaData) -> list[object]:
    with engine.connect() as connection, warnings.catch_warnings():
        # On SQLite both libraries say of each index over an expression that they cannot read it. `unseen` does.
        warnings.filterwarnings("ignore", ".*expression-based index")
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))


_INDEXES = {
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
}


def unseen(engine: Engine) -> set[tuple[str, ...]]:
    """What Alembic does not compare: the conditions of partial indexes, and check constraints."""
    with engine.connect() as connection:
        found: set[tuple[str, ...]] = {
            (str(name), str(sql)) for name, sql in connection.execute(sa.text(_INDEXES[engine.dialect.name]))
        }
    for table in Base.metadata.sorted_tables:
        for check in sa.inspect(engine).get_check_constraints(table.name):
            found.add((table.name, str(check["name"]), check["sqltext"]))
    return {one for one in found if not one[0].startswith("alembic")}


def test_a_database_goes_up_down_and_up_again(database_url: str, engine: Engine) -> None:
    assert current(database_url) == head()
    downgrade(database_url, "base")
    assert current(database_url) is None
    assert set(sa.inspect(engine).get_table_names()) == {"alembic_version"}
    upgrade(database_url)
    assert differences(engine, Base.metadata) == []


def test_migrations_make_what_the_models_say(database_url: str, engine: Engine) -> None:
    assert differences(engine, Base.metadata) == []
    migrated = unseen(engine)
    downgrade(database_url, "base")
    Base.metadata.create_all(engine)
    assert unseen(engine) == migrated


@pytest.mark.parametrize(
    "drift",
    [
        "CREATE INDEX ix_more ON requests (kind)",
        "DROP INDEX ix_requests_due",
        "ALTER TABLE requests ADD COLUMN more INTEGER",
        "ALTER TABLE requests DROP COLUMN detail",
        "DROP TABLE heartbeats",
    ],
)
def test_a_difference_from_the_models_is_noticed(engine: Engine, drift: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(drift))
    assert len(differences(engine, Base.metadata)) == 1


def test_a_process_refuses_to_start_on_an_empty_or_older_database(database_url: str, engine: Engine) -> None:
    require_current(engine)
    downgrade(database_url, "base")
    with pytest.raises(SchemaOutOfDate, match="trunkline migrate"):
        require_current(engine)


def test_a_process_starts_on_a_database_that_a_newer_release_has_migrated(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'newer'"))
    require_current(engine)


def test_a_migration_that_cannot_get_its_lock_gives_up(postgresql_url: str) -> None:
    engine = make_engine(postgresql_url)
    with engine.connect() as reader:
        reader.execute(sa.text("SELECT count(*) FROM requests"))  # its transaction stays open
        with pytest.raises(OperationalError, match="lock timeout"):
            downgrade(postgresql_url, "base")
    require_current(engine)
    engine.dispose()


def test_every_migration_runs_with_time_outs(postgresql_url: str) -> None:
    engine = make_engine(postgresql_url)
    with engine.begin() as connection:
        # Fails the migration, and tells what it was run under.
        connection.execute(sa.text("CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
                                   " RAISE EXCEPTION 'lock % statement %', current_setting('lock_timeout'),"
                                   " current_setting('statement_timeout'); END $$"))  # fmt: skip
        connection.execute(sa.text("CREATE EVENT TRIGGER tell ON ddl_command_start EXECUTE FUNCTION tell()"))
    with pytest.raises(sa.exc.DBAPIError, match="lock 4s statement 15min"):
        downgrade(postgresql_url, "base")
    engine.dispose()


def test_a_migration_that_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'half.sqlite'}"
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE requests (in_the_way INTEGER)"))  # the last table to be made
    with pytest.raises(OperationalError, match="already exists"):
        upgrade(url)
    assert sa.inspect(engine).get_table_names() == ["requests"]
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE requests"))
    upgrade(url)
    require_current(engine)
    engine.dispose()


def test_what_changes_much_is_vacuumed_before_a_fifth_of_it_is_dead(postgresql_url: str) -> None:
    engine = make_engine(postgresql_url)

    def changed() -> set[str]:
        with engine.connect() as connection:
            found = connection.execute(sa.text("SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL"))
            return {row.relname for row in found if any("vacuum" in option for option in row.reloptions)}

    assert changed() == {"requests", "deliveries", "inbox", "events", "delivery_attempts"}
    downgrade(postgresql_url, "0006")
    assert changed() == set()
    engine.dispose()
