"""What a training job says about its model, checked: a missing or non-finite number is no report."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from functions.errors import Poison

Loss = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Scored(_Part):
    """Metrics of one model on some rows: log loss in nats per row, Brier score, AUC (None where undefined)."""

    log_loss: Loss
    brier: Share | None = None
    auc: Share | None = None

    def value(self, metric: str) -> float | None:
        """One metric by its name in a loop file; None if the report lacks it."""
        return {"log_loss": self.log_loss, "brier": self.brier, "auc": self.auc}[metric]


class Group(Scored):
    """The rows of one held-out day, one segment or one slice."""

    rows: Annotated[int, Field(ge=1)]


class Score(Scored):
    """One model on the held-out rows."""

    by_day: Annotated[Mapping[str, Group], Field(min_length=1)]
    by_segment: Mapping[str, Group] = {}
    by_slice: Mapping[str, Group] = {}
    latency_ms: Annotated[float, Field(gt=0, description="median for one batch")] | None = None


class Report(_Part):
    """report.json, as training/evaluate.py writes it."""

    rows: Annotated[int, Field(ge=1)]
    baseline: Scored
    challenger: Score
    champion: Score | None
    commit: Annotated[str, Field(pattern=r"^[0-9A-Za-z.-]{1,64}$")] | None = None


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
