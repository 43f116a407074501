"""What an examination found."""

from dataclasses import dataclass
from typing import Literal

from functions.cloud.asking import Answer
from functions.cloud.refusals import DENIED

type Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Args:
        check: Which examination.
        level: An error keeps the loop from going round; a warning may come to that.
        what: What was found, in one sentence.
        why: The cause as observed; "" if all is well.
        fix: What mends it, if something must be.
    """

    check: str
    level: Level
    what: str
    why: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Right:
    """What an identity must be allowed.

    Args:
        role: That allows it.
        scope: ARM id of what it is given on.
        oid: Object id of the identity that asked.
    """

    role: str
    scope: str
    oid: str

    @property
    def command(self) -> str:
        """What gives it."""
        who = f"--assignee-object-id {self.oid} --assignee-principal-type ServicePrincipal"
        return f'az role assignment create {who} --role "{self.role}" --scope {self.scope}'


def of_answer(check: str, answer: Answer, *, what: str, right: Right, fine: tuple[int, ...], fix: str) -> Finding:
    """What a service's answer to a harmless question means.

    Args:
        check: Which examination.
        answer: What it said.
        what: Whom was asked for what.
        right: What a denial lacks.
        fine: Statuses besides success that say the same.
        fix: What mends another answer.
    """
    if answer.ok or answer.status in fine:
        return Finding(check, "ok", what)
    if answer.status in DENIED:
        why = f"{answer.said}; {right.oid} lacks {right.role} on {right.scope}"
        return Finding(check, "error", f"{what}: denied", why, f"{right.command}; it takes up to 10 minutes")
    if not answer.status:
        return Finding(check, "error", f"{what}: no answer", answer.said, fix)
    return Finding(check, "error", f"{what}: an unexpected answer", answer.said, fix)
