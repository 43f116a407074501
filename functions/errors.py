"""What can go wrong, sorted by what the host should do about it.

LoopError
├── Poison      the event can never succeed: quarantine it and acknowledge
├── Ignored     the event is sound but not ours: acknowledge it
├── Transient   the cloud said "not now": raise, so that the host redelivers
│   └── Throttled   so many requests a minute are allowed: what is left goes on with the next turn
└── Refused     the cloud or the configuration said "no": retrying is useless until a person changes something
    └── Full        there is no room for one more: it is held until something is taken away
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


class Throttled(Transient):
    """So many requests a minute are allowed, and this one was too many.

    Args:
        what: What was not done, in the words of the domain.
        why: The service's own words.
        fix: What the reader can do next.
        after_s: When the service wants to be asked again, seconds from now.
    """

    def __init__(self, what: str, *, why: str, fix: str, after_s: float) -> None:
        super().__init__(what, why=why, fix=fix)
        self.after_s = after_s


class Refused(LoopError):
    """A well-formed request was turned down."""


class Full(Refused):
    """The service has a place for so many, and all are taken."""


class Ignored(LoopError):
    """A sound event that is not for this app: acknowledge it and do nothing."""
