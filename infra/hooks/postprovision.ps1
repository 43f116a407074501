# Between resources and app: the app does not start without its signing key. It is made once, and its private half never printed.
$ErrorActionPreference = 'Stop'
$keys = .venv/Scripts/python.exe -m infra.steps.signing_key --vault $env:SIGNING_VAULT_URI
if ($LASTEXITCODE -ne 0) { throw 'there is no signing key' }
azd env set MODEL_KEYS $keys
Write-Output "models are signed; devices trust MODEL_KEYS=$keys"
