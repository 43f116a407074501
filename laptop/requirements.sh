#!/bin/sh
# Compiles requirements.txt (what Azure installs), requirements-dev.txt, edge/requirements.txt (what the device's images
# install) and edge/ingest/requirements.txt (what the ingest module needs) from pyproject.toml, with hashes and without the address of any index. With --check, fails if the
# files are not what would be compiled.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .tools/uv/bin/uv)
out=.
files="requirements.txt requirements-dev.txt edge/requirements.txt edge/ingest/requirements.txt"
if [ "${1:-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
  mkdir -p "$out/edge/ingest"
  for file in $files; do cp $file "$out/$file"; done
fi
compile() {
  "$uv" pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
    --universal --python-version 3.13 --output-file "$out/$1" $2 >/dev/null
}
compile requirements.txt pyproject.toml
compile requirements-dev.txt "pyproject.toml --group dev"
compile edge/requirements.txt "--group edge"
compile edge/ingest/requirements.txt "--group ingest"
for file in $files; do
  cmp -s $file "$out/$file" || { echo "$file is not fresh: run make lock" >&2; exit 1; }
done
