#!/bin/sh
# Between resources and app: the app does not start without its signing key. It is made once, and its private half never printed.
set -eu
keys=$(.venv/bin/python -m infra.steps.signing_key --vault "$SIGNING_VAULT_URI")
azd env set MODEL_KEYS "$keys"
# The app looked for the key when it was made, and found none; it would look again within a day
az rest --method post --output none \
  --uri "$FUNCTION_APP_ID/config/configreferences/appsettings/refresh?api-version=2022-03-01" ||
  echo "the app was not told of its key: restart it if it says that MODEL_SIGNING_KEY is not usable" >&2
echo "models are signed; devices trust MODEL_KEYS=$keys"
