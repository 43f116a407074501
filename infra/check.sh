#!/bin/sh
# The real compiler on every template, where there is one: `bicep`, or the one inside az. tests/infra checks what it can
# without. With --required it is an error that there is none, as it is in continuous integration.
set -eu
cd "$(dirname "$0")"
if command -v bicep >/dev/null; then
  compile() { bicep build --stdout "$1" >/dev/null; }
  lint() { bicep lint "$1"; }
elif az bicep version >/dev/null 2>&1; then
  compile() { az bicep build --stdout --file "$1" >/dev/null; }
  lint() { az bicep lint --file "$1"; }
else
  echo "not checked: there is neither bicep nor az with bicep on this computer" >&2
  [ "${1:-}" != --required ] || exit 1
  exit 0
fi
for template in main.bicep subscriptions.bicep modules/*.bicep; do
  compile "$template"
  lint "$template"
done
echo "every template compiles, and the linter has nothing to say"
