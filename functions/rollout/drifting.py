"""Is it the new version that does not know the world, or has the world moved? No clock, no network, no SDK.

What a device sees is compared with what its own version was trained on. Inputs are not the version's doing, and devices
with the last version are held against another training set. So drift is no harm by itself: it is a reason to look
closer, unless something else than the version explains it.
"""

from collections.abc import Mapping

from functions.field import KEPT, Use, Uses

LATELY = KEPT[-1][0]  # periods before the new version came: those that it is compared with reach back as far
HALF = 0.5  # of the devices with it: fewer that drift have something of their own, such as a sensor
SOME = 0.1  # of the devices without it: as many that drifted lately are the world


def unexplained(uses: Mapping[str, Uses], new: str, *, treated: Mapping[str, Use], control: Mapping[str, Use]) -> str:
    """What devices see that a version was not trained on, and that nothing but the version explains; "" for nothing.

    Args:
        uses: What every device did, with every version.
        new: The version that is on its way.
        treated: Devices that have it.
        control: Devices that have the last good one; some.
    """
    since = min((use.periods[0].at for use in treated.values() if use.periods), default=0) - LATELY
    adrift = {device: use.drift for device, use in treated.items() if use.drift}
    own = sorted(adrift.keys() - {device for device in adrift if _drifted(uses[device], but=new, since=since)})
    world = sum(_drifted(uses[device], but=new, since=since) for device in control)
    if not own or len(own) < HALF * len(treated) or world >= SOME * len(control):
        return ""
    what = adrift[own[0]].partition(": ")[0]  # without its numbers: they change with every alarm
    devices = f"{len(own)} of {len(treated)} device{'s' * (len(treated) != 1)} with it"
    return f"drift on {devices} ({own[0]}: {what}), and on hardly any without it lately"


def _drifted(uses: Uses, *, but: str, since: int) -> bool:
    """Whether a device saw drift under another version."""
    moments = [use.drifted_at for version, use in uses.items() if version != but]
    return any(at is not None and at >= since for at in moments)
