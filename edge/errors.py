"""What can go wrong on a device, sorted by what happens next.

EdgeError
├── Misconfigured  a setting is wrong: the program does not start until a person changes it
├── Unfit          this candidate model will never do: the old one keeps serving, the twin says why
├── Away           the cloud is out of reach right now: try again by itself
│   └── Changed    a file is another one than that whose first half is here: start it anew
└── Refusal        one HTTP request is answered with a typed error
"""

import msgspec

REASON_CHARACTERS = 500  # a reported twin value may hold 4 KB; a person reads one line


class EdgeError(Exception):
    """Base of every error this program raises on purpose.

    Args:
        what: What failed, in the words of the domain.
        why: The cause as observed.
        fix: What the reader can do next.
    """

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        super().__init__(f"{what}; because: {why}; fix: {fix}")
        self.what, self.why, self.fix = what, why, fix

    @property
    def reason(self) -> str:
        """The whole error in one line, short enough for a reported twin property."""
        return " ".join(str(self).split())[:REASON_CHARACTERS]


class Misconfigured(EdgeError):
    """The settings do not describe a device."""


class Unfit(EdgeError):
    """A candidate model will never serve, however often it is tried."""


class Away(EdgeError):
    """The hub or the store did not answer; the same thing may work later."""


class Changed(Away):
    """A file changed between two parts of it; what is here of it is worthless."""


class Refusal(EdgeError):
    """One HTTP request is turned down.

    Args:
        what: What failed, in the words of the domain.
        why: The cause as observed.
        fix: What the caller can do next.
        status: HTTP status of the answer.
        code: Machine-readable code of the answer, such as `BAD_ROW`.
        field: Feature or JSON path the answer is about.
    """

    def __init__(self, what: str, *, why: str, fix: str, status: int, code: str, field: str | None = None) -> None:
        super().__init__(what, why=why, fix=fix)
        self.status, self.code, self.field = status, code, field


def document(refusal: Refusal) -> bytes:
    """What a refused request is answered, as JSON."""
    error = {"code": refusal.code, "message": str(refusal)}
    if refusal.field:
        error["field"] = refusal.field
    return msgspec.json.encode({"error": error})
