#!/bin/sh
# Runs a benchmark with the Python 3.13 of a Debian release, on which the device images stand, and the packages of
# .venv: `sh bench/debians_python.sh -m bench.drift_messages`. Needs root, mmdebstrap and Debian's registry within reach.
set -eu
cd "$(dirname "$0")/.."
command -v mmdebstrap >/dev/null || { echo "debians_python: there is no mmdebstrap: apt-get install mmdebstrap" >&2; exit 2; }
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
mmdebstrap --quiet --variant=apt --include=python3,ca-certificates "${SUITE:-trixie}" "$root"
mkdir "$root/checkout"
# The mounts are of this process alone, and gone with it.
# shellcheck disable=SC2016 # the inner shell's
unshare --mount sh -c '
  root=$1; shift
  mount --bind "$PWD" "$root/checkout"; mount --bind /proc "$root/proc"; mount --bind /dev "$root/dev"
  PYTHONPATH=/checkout:/checkout/.venv/lib/python3.13/site-packages PYTHONDONTWRITEBYTECODE=1 \
    chroot "$root" sh -c "cd /checkout && exec python3 \"\$@\"" sh "$@"
' sh "$root" "$@"
