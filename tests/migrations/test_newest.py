"""The newest revision, asked without Alembic, is Alembic's."""

from alembic.config import Config
from alembic.script import ScriptDirectory

import migrations


def test_the_newest_revision_is_alembics_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.newest()
