#!/bin/sh
# Compiles requirements.txt (what Azure installs) and requirements-dev.txt from pyproject.toml, with hashes and without
# the address of any index. With --check, fails if the files are not what would be compiled.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .tools/uv/bin/uv)
out=.
if [ "${1:-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
  cp requirements.txt requirements-dev.txt "$out"
fi
compile() {
  "$uv" pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
    --universal --python-version 3.13 --output-file "$out/$1" pyproject.toml $2 >/dev/null
}
compile requirements.txt ""
compile requirements-dev.txt "--group dev"
if [ "$out" != . ]; then
  cmp requirements.txt "$out/requirements.txt" && cmp requirements-dev.txt "$out/requirements-dev.txt" ||
    { echo "requirements are not fresh: run make lock" >&2; exit 1; }
fi
