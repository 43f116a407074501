#!/bin/sh
# Between resources and app: the app does not start without its signing key. It is made once, and its private half never printed.
set -eu
keys=$(.venv/bin/python -m infra.steps.signing_key --vault "$SIGNING_VAULT_URI")
azd env set MODEL_KEYS "$keys"
echo "models are signed; devices trust MODEL_KEYS=$keys"
