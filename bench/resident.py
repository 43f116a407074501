"""How much memory a process holds."""

import subprocess


def resident_mib(pid: int) -> float:
    """What is resident of a process, MiB."""
    told = subprocess.run(["/bin/ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True, text=True)
    return int(told.stdout) / 1024
