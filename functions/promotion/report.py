"""What a training job says about its model, checked: a missing or non-finite number is no report."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from functions.errors import Poison

Loss = Annotated[float, Field(ge=0, description="log loss per row, nats")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Day(_Part):
    """One held-out day."""

    rows: Annotated[int, Field(ge=1)]
    log_loss: Loss


class Score(_Part):
    """One model on the held-out days."""

    log_loss: Loss
    by_day: Annotated[Mapping[str, Day], Field(min_length=1)]


class Baseline(_Part):
    """The constant prediction."""

    log_loss: Loss


class Report(_Part):
    """report.json, as training/evaluate.py writes it."""

    rows: Annotated[int, Field(ge=1)]
    baseline: Baseline
    challenger: Score
    champion: Score | None


def read(data: bytes) -> Report:
    """Read report.json.

    Raises:
        Poison: It is not a usable report.
    """
    try:
        return Report.model_validate_json(data)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        why = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        fix = "compare training/evaluate.py with functions/promotion/report.py"
        raise Poison("the job's report is not usable", why=why, fix=fix, code="REPORT") from problem
