"""What fits into a device's row: one that its table would refuse for ever would hold up its whole partition."""

import logging
from copy import replace
from datetime import datetime
from typing import Final

from functions.drift.channels import channels_of
from functions.drift.ledger import Ledger
from functions.drift.policy import watched
from functions.drift.state import DeviceState, most_bytes
from functions.loops import Loop
from functions.ports import ROW_LIMIT, Row, weight
from sketch.profile import Profile

log = logging.getLogger("refluent.drift")
BESIDE: Final = 160 * 1024  # bytes for what is neither counts nor evidence: the starts below, `field` (90 KB), texts
FEW_STARTS: Final = 16  # of a device's process, 64 gaps each, have 20 KB


def too_wide(profile: Profile, loop: Loop) -> str:
    """Why a model's devices cannot be counted, for a person; "" if they can, whatever they tell."""
    channels = channels_of(profile, watched(loop))
    size, most = most_bytes(places=channels.places, tests=len(channels.shares)), ROW_LIMIT - BESIDE
    if size <= most:
        return ""
    asked = f"the {len(channels.shares)} shares that the loop watches of a model of {len(profile.features)} features"
    return f"{asked} take up to {size} bytes of a device's row, which has room for {most}"


def fitting(row: Row, state: DeviceState, now: datetime) -> Row:
    """A device's row with its state, of a model that is not too wide.

    Where it would be too large, it is for gaps in the messages of hundreds of starts: the oldest are forgotten.
    """
    whole: Row = {**row, "state": state.to_bytes(), "at": now}
    if weight(whole) <= ROW_LIMIT:
        return whole
    log.warning("the row of %s would be too large: only %s starts of it are remembered", state.device, FEW_STARTS)
    few = replace(state, ledger=Ledger(state.ledger.epochs[-FEW_STARTS:]))
    return {**whole, "state": few.to_bytes()}
