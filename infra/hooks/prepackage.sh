#!/bin/sh
# Brings the packages of requirements.txt, hash by hash, for the Python and the system that Azure runs.
set -eu
[ -x .venv/bin/python ] || { echo "there is no .venv; run \`make setup\`, which takes half a minute" >&2; exit 1; }
uv=$(command -v uv || echo .tools/uv/bin/uv)
packages=.python_packages/lib/site-packages
rm -rf .python_packages
"$uv" pip install --quiet --require-hashes --no-deps --only-binary :all: --no-compile-bytecode \
  --python .venv/bin/python --python-version 3.13 --python-platform x86_64-manylinux_2_28 \
  --target "$packages" --requirement requirements.txt
echo "packages: $(du -sm "$packages" | cut -f1) MB"
