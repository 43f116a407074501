"""A site that sends mostly bad files: its good ones are suspect too, and held until it sends better ones."""

from collections import Counter
from datetime import datetime, timedelta

from functions.journal import Entry, record
from functions.loops import Loop
from functions.retraining.admission import FEW, poisoned
from functions.retraining.ledger import ADMITTED, HELD, LANDED, QUARANTINED, SUPERSEDED, UPLOADS, in_state, sent_by
from functions.wiring import Cloud

LATELY = timedelta(days=1)  # before the site's newest file, so that silence heals nothing


def hold_poisoned(here: Cloud, loop: Loop, *, now: datetime) -> None:
    """Hold the backlog of sites that sent too much that is bad; give back what is held of those that did better."""
    held = in_state(here.rows, loop, HELD)
    bad = Counter(one.site for one in in_state(here.rows, loop, QUARANTINED) if now - one.at < 2 * LATELY)
    asked = sorted({*(site for site, number in bad.items() if number >= FEW), *(upload.site for upload in held)})
    reasons = poisoned({site: _lately(here, loop, site) for site in asked}, loop.data)
    backlog = in_state(here.rows, loop, ADMITTED) if reasons else []
    for site in asked:
        reason = reasons.get(site, "")
        keys = [upload.key for upload in (backlog if reason else held) if upload.site == site]
        if keys:
            decision, why = ("HoldSite", reason) if reason else ("ReleaseSite", f"site {site} sends good files again")
            reached = f"{why}; {len(keys)} good files"
            record(here.rows, Entry(now, loop.name, "retraining", f"{loop.name}/{site}", decision, reached))
            values = {"state": HELD if reason else ADMITTED, "reason": reason}
            here.rows.change(UPLOADS, loop.name, keys=keys, values=values)


def _lately(here: Cloud, loop: Loop, site: str) -> list[str]:
    """States of what the site sent lately, as far as it was looked into."""
    seen = [upload for upload in sent_by(here.rows, loop, site) if upload.state not in (LANDED, SUPERSEDED)]
    return [upload.state for upload in seen if seen[-1].at - upload.at < LATELY]
