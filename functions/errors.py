"""What can go wrong, sorted by what the host should do about it.

LoopError
├── Poison      the event can never succeed: quarantine it and acknowledge
├── Ignored     the event is sound but not ours: acknowledge it
├── Transient   the cloud said "not now": raise, so that the host redelivers
└── Refused     the cloud or the configuration said "no": retrying is useless until a person changes something
"""


class LoopError(Exception):
    """Base of every error this backend raises on purpose.

    Args:
        what: What failed, in the words of the domain.
        why: The cause as observed.
        fix: What the reader can do next.
    """

    def __init__(self, what: str, *, why: str, fix: str) -> None:
        super().__init__(f"{what}\n  because: {why}\n  fix: {fix}")
        self.what, self.why, self.fix = what, why, fix


class Poison(LoopError):
    """The input itself is wrong, for ever.

    Args:
        what: What failed, in the words of the domain.
        why: The cause as observed.
        fix: What the reader can do next.
        code: Reason code of the quarantine, such as `EG_SCHEMA` or `BLOB_NAME`.
    """

    def __init__(self, what: str, *, why: str, fix: str, code: str) -> None:
        super().__init__(what, why=why, fix=fix)
        self.code = code


class Transient(LoopError):
    """Try the same event again later."""


class Refused(LoopError):
    """A well-formed request was turned down."""


class Ignored(LoopError):
    """A sound event that is not for this app: acknowledge it and do nothing."""
