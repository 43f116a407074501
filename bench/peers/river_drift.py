"""River's ADWIN and Page-Hinkley with their own settings, one per device and channel: `river_drift.py FILE.npz`.

They know no reference: each compares a device with its own past. Values are standardised by the reference.
"""

import json
import sys

import numpy as np
from river import drift  # type: ignore[import-not-found] # in an environment of its own

data = np.load(sys.argv[1])
mean, deviation = np.nanmean(data["reference"], axis=0), np.nanstd(data["reference"], axis=0)
rows = np.nan_to_num((data["rows"] - mean) / np.where(deviation > 0, deviation, 1))  # devices, windows, rows, channels
found = {}
for name, kind in (("ADWIN", drift.ADWIN), ("Page-Hinkley", drift.PageHinkley)):
    alarms = np.zeros(rows.shape[:2], bool)
    for device in range(rows.shape[0]):
        for channel in range(rows.shape[3]):
            detector = kind()
            for window in range(rows.shape[1]):
                for value in rows[device, window, :, channel].tolist():
                    detector.update(value)
                    alarms[device, window] |= detector.drift_detected
    found[name] = alarms.tolist()
json.dump(found, sys.stdout)
