"""App settings of a device, typed and checked before anything starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from edge.errors import Misconfigured
from edge.keys import Key, read_keys

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)  # without slots: the defaults below are read from the class
class Settings:
    """What differs from device to device.

    Args:
        model_store_url: The blob container models come from, such as `https://account.blob.core.windows.net/models/`.
        model_folder: Where the last two models and the telemetry that waits are kept.
        model_keys: Whose models are taken; empty only if signatures are off.
        model_signatures: `required`, or `off`: then any model is taken that the twin names.
        hold_file: While this file exists, the device keeps the model it has.
        loop: Name of the loop the telemetry belongs to; empty means that it is named like its model.
        http_host: Address the scoring endpoint listens on.
        http_port: Port the scoring endpoint listens on.
        telemetry_every_seconds: A telemetry window closes after this time at the latest, seconds.
        telemetry_every_rows: A telemetry window closes after this many rows at the latest.
        telemetry_messages: Telemetry messages kept on disk while the hub is away; the oldest goes first.
        telemetry_mebibytes: Room for them, MiB; likewise.
        answers_kept: Answers with an id that wait for their outcomes; the oldest goes first.
        answers_hours: How long one waits, hours.
        outcomes_every_seconds: Outcomes are told by stretches of this length, seconds, of when the answers were given.
        model_mebibytes: The largest file of a model this device takes, MiB.
        check_mebibytes: Memory that checking a new model may take, in a process of its own, MiB.
        check_seconds: Processor time that checking a new model may take, seconds.
    """

    model_store_url: str
    model_folder: Path
    model_keys: tuple[Key, ...]
    model_signatures: str
    hold_file: Path
    loop: str = ""
    http_host: str = "0.0.0.0"  # noqa: S104 - a container's port is published by its runtime, not by the program
    http_port: int = 8080
    telemetry_every_seconds: int = 60
    telemetry_every_rows: int = 100_000
    telemetry_messages: int = 10_000
    telemetry_mebibytes: int = 64
    answers_kept: int = 100_000
    answers_hours: int = 168
    outcomes_every_seconds: int = 3_600
    model_mebibytes: int = 256
    check_mebibytes: int = 2_048
    check_seconds: int = 60

    @property
    def model_bytes(self) -> int:
        """The largest file of a model this device takes, bytes."""
        return self.model_mebibytes * MEBIBYTE


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Args:
        environment: Usually `os.environ`.

    Raises:
        Misconfigured: A variable is missing or unusable; it is named.
    """
    folder = Path(environment.get("MODEL_FOLDER") or "/var/lib/refluent")
    signatures = _signatures(environment)
    return Settings(
        model_store_url=_store_url(environment),
        model_folder=folder,
        model_keys=_keys(environment, signatures),
        model_signatures=signatures,
        hold_file=Path(environment.get("HOLD_FILE") or folder / "hold"),
        loop=environment.get("LOOP", ""),
        http_host=environment.get("HTTP_HOST") or Settings.http_host,
        http_port=_count(environment, "HTTP_PORT", Settings.http_port, at_most=65_535),
        telemetry_every_seconds=_count(environment, "TELEMETRY_EVERY_SECONDS", Settings.telemetry_every_seconds),
        telemetry_every_rows=_count(environment, "TELEMETRY_EVERY_ROWS", Settings.telemetry_every_rows),
        telemetry_messages=_count(environment, "TELEMETRY_MESSAGES", Settings.telemetry_messages),
        telemetry_mebibytes=_count(environment, "TELEMETRY_MEBIBYTES", Settings.telemetry_mebibytes),
        answers_kept=_count(environment, "ANSWERS_KEPT", Settings.answers_kept),
        answers_hours=_count(environment, "ANSWERS_HOURS", Settings.answers_hours, at_most=100_000),
        outcomes_every_seconds=_count(environment, "OUTCOMES_EVERY_SECONDS", Settings.outcomes_every_seconds),
        model_mebibytes=_count(environment, "MODEL_MEBIBYTES", Settings.model_mebibytes),
        check_mebibytes=_count(environment, "CHECK_MEBIBYTES", Settings.check_mebibytes),
        check_seconds=_count(environment, "CHECK_SECONDS", Settings.check_seconds),
    )


def _signatures(environment: Mapping[str, str]) -> str:
    text = environment.get("MODEL_SIGNATURES") or "required"
    if text not in ("required", "off"):
        raise Misconfigured(
            "setting MODEL_SIGNATURES is not usable",
            why=f"{text!r} is neither required nor off",
            fix="remove it; `off` is for a bench where models are not signed",
        )
    return text


def _keys(environment: Mapping[str, str], signatures: str) -> tuple[Key, ...]:
    text = environment.get("MODEL_KEYS", "")
    try:
        keys = read_keys(text)
    except ValueError as problem:
        raise Misconfigured(
            "setting MODEL_KEYS is not usable",
            why=str(problem),
            fix="list raw Ed25519 public keys as base64, separated by commas; `@2027-06-30` behind one is its last day",
        ) from problem
    if bool(keys) == (signatures == "off"):
        raise Misconfigured(
            "settings MODEL_KEYS and MODEL_SIGNATURES do not go together",
            why="signatures are off, and there are keys" if keys else "signatures are required, and there is no key",
            fix="list the public half of the signing key in MODEL_KEYS; with MODEL_SIGNATURES=off list none",
        )
    return keys


def _store_url(environment: Mapping[str, str]) -> str:
    text = environment.get("MODEL_STORE_URL", "")
    try:
        url = urlsplit(text)
        sound = url.scheme == "https" and url.hostname and url.path.strip("/") and not (url.query or url.fragment)
        clean = not (url.username or url.password)
    except ValueError:
        sound = clean = False
    if not (sound and clean):
        raise Misconfigured(
            "setting MODEL_STORE_URL does not name a model store",
            why=f"{text!r} is not an https URL of a blob container, without query and credentials",
            fix="set it to the container's URL, such as https://account.blob.core.windows.net/models/",
        )
    return text.rstrip("/") + "/"


def _count(environment: Mapping[str, str], name: str, default: int, *, at_most: int = 1_000_000_000) -> int:
    text = environment.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= at_most):
        raise Misconfigured(
            f"setting {name} is not usable",
            why=f"{text!r} is not a whole number from 1 to {at_most}",
            fix=f"correct it, or remove it for the default {default}",
        )
    return int(text)
