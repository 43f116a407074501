"""No secret in a log: whatever words a service or a stranger used, what opens something is cut out of them."""

import logging
import re

_SECRET = re.compile(
    r"""(?isx)
    (?P<named> (?: AccountKey | SharedAccessKey | SharedAccessSignature | InstrumentationKey | api[_-]?key | password
        | client[_-]?secret | aeg-sas-(?:key|token) | x-functions-key | [?&](?:sig|code|token) )
        ["']? \s* [:=] \s* ["']? | Bearer \s+ )
    [^\s;&"',]+
    | eyJ[\w-]{8,}\.[\w-]+\.[\w-]*                              # a token by its shape
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    """
)


def redacted(text: str) -> str:
    """The text with every key, token, password and signature in it replaced by "[secret]"."""
    return _SECRET.sub(lambda found: f"{found['named'] or ''}[secret]", text)


def keep_secrets_out_of_logs() -> None:
    """From here on, the message of every log record of this process is redacted, whoever writes it."""
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return

    def make_redacted(*given: object, **named: object) -> logging.LogRecord:
        record = make(*given, **named)
        record.msg, record.args = redacted(record.getMessage()), ()
        return record

    make_redacted.redacts = True  # type: ignore[attr-defined]  # so that a second call changes nothing
    logging.setLogRecordFactory(make_redacted)
