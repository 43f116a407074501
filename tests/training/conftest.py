from datetime import date
from pathlib import Path

import pytest

from tests.training.landing import finish, land, prepare


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole pipeline ran on two weeks of flights; nobody writes into it."""
    folder = tmp_path_factory.mktemp("trained")
    land(folder, date(2013, 1, 8), date(2013, 1, 21))
    for ran in (prepare(folder), *finish(folder)):
        assert ran.returncode == 0, ran.stderr
    return folder
