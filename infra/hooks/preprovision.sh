#!/bin/sh
# Before anything is made: is everything here that the later steps need, and which containers do the loop files name?
set -eu
for tool in az azd; do
  command -v "$tool" >/dev/null || { echo "there is no $tool; docs/azure.md says what is needed" >&2; exit 1; }
done
[ -x .venv/bin/python ] || { echo "there is no .venv; run \`make setup\`, which takes half a minute" >&2; exit 1; }
az account show --output none || { echo "az is not signed in; run \`az login\`" >&2; exit 1; }
landing=$(.venv/bin/python -m infra.steps.landing)
azd env set LANDING_CONTAINERS "$landing"
