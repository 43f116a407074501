# Between resources and app: the app does not start without its signing key. It is made once, and its private half never printed.
$ErrorActionPreference = 'Stop'
$keys = .venv/Scripts/python.exe -m infra.steps.signing_key --vault $env:SIGNING_VAULT_URI
if ($LASTEXITCODE -ne 0) { throw 'there is no signing key' }
azd env set MODEL_KEYS $keys
# The app looked for the key when it was made, and found none; it would look again within a day
az rest --method post --output none --uri "$env:FUNCTION_APP_ID/config/configreferences/appsettings/refresh?api-version=2022-03-01"
if ($LASTEXITCODE -ne 0) { Write-Output 'the app was not told of its key: restart it if it says that MODEL_SIGNING_KEY is not usable' }
Write-Output "models are signed; devices trust MODEL_KEYS=$keys"
exit 0
