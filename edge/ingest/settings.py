"""Settings of the ingest module, typed and checked before anything starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from edge.errors import Misconfigured


@dataclass(frozen=True)  # without slots: the defaults below are read from the class
class Settings:
    """What differs from site to site.

    Args:
        share: The local share: files come from here, and are removed once they are taken.
        cloud_share: The site's folder of the cloud share, which the device uploads as <loop>/<site>.
        site: The site, as the loop names it.
        rejects: Where bad files go, with a reason.
        state: What is remembered between starts; on the cloud share's file system if possible, and not on a share.
        schema: The loop's file, a JSON file, or JSON.
        settled_seconds: A file that nobody changed for so long is finished.
        marker: Ending of the file that says that another one is finished, such as `.done`; empty goes by time.
        every_seconds: Time between two rounds.
        outcomes_url: `/outcomes` of the scoring module, which is told the labels of `….labels.csv`; empty tells nobody.
    """

    share: Path
    cloud_share: Path
    site: str
    rejects: Path
    state: Path
    schema: str
    settled_seconds: float = 30.0
    marker: str = ""
    every_seconds: float = 10.0
    outcomes_url: str = ""


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Args:
        environment: Usually `os.environ`.

    Raises:
        Misconfigured: A variable is missing or unusable; it is named.
    """
    settings = Settings(
        share=_folder(environment, "INGEST_SHARE"),
        cloud_share=_folder(environment, "INGEST_CLOUD_SHARE"),
        site=_text(environment, "INGEST_SITE"),
        rejects=_folder(environment, "INGEST_REJECTS"),
        state=_folder(environment, "INGEST_STATE"),
        schema=_text(environment, "INGEST_SCHEMA"),
        settled_seconds=_seconds(environment, "INGEST_SETTLED_SECONDS", Settings.settled_seconds),
        marker=environment.get("INGEST_MARKER", Settings.marker),
        every_seconds=_seconds(environment, "INGEST_EVERY_SECONDS", Settings.every_seconds),
        outcomes_url=_url(environment, "INGEST_OUTCOMES_URL"),
    )
    for other in (settings.cloud_share, settings.rejects, settings.state):
        if settings.share == other or settings.share in other.parents:
            fix = "give each its own folder, outside INGEST_SHARE"
            raise Misconfigured("the folders overlap", why=f"{other} lies in {settings.share}", fix=fix)
    return settings


def _text(environment: Mapping[str, str], name: str) -> str:
    text = environment.get(name, "")
    if not text:
        raise Misconfigured(
            f"setting {name} is missing", why="it has no default", fix="docs/settings.md says what it is"
        )
    return text


def _folder(environment: Mapping[str, str], name: str) -> Path:
    path = Path(_text(environment, name)).resolve()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        fix = "mount the share there, and let the module write to it"
        raise Misconfigured(f"setting {name} names no usable folder", why=str(problem), fix=fix) from problem
    return path


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:  # noqa: PLR2004 - a day
        fix = f"correct it, or remove it for the default {default:g}"
        raise Misconfigured(f"setting {name} is not usable", why=f"{text!r} is not 0 to 86,400 seconds", fix=fix)
    return seconds


def _url(environment: Mapping[str, str], name: str) -> str:
    text = environment.get(name, "")
    try:
        url = urlsplit(text)
        sound = not text or (url.scheme == "http" and url.hostname and url.path == "/outcomes" and url.port != 0)
    except ValueError:
        sound = False
    if not sound:
        fix = "set it to the scoring module on the device's own network, such as http://inference:8080/outcomes"
        raise Misconfigured(f"setting {name} is not usable", why=f"{text!r} is no http URL of /outcomes", fix=fix)
    return text
