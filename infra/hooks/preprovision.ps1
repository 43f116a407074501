# Before anything is made: is everything here that the later steps need, and which containers do the loop files name?
$ErrorActionPreference = 'Stop'
foreach ($tool in 'az', 'azd', 'uv') {
  if (-not (Get-Command $tool -ErrorAction SilentlyContinue)) { throw "there is no $tool; docs/azure.md says what is needed" }
}
if (-not (Test-Path .venv/Scripts/python.exe)) { throw 'there is no .venv; docs/azure.md says how to make one on Windows' }
az account show --output none
if ($LASTEXITCODE -ne 0) { throw 'az is not signed in; run az login' }
$landing = .venv/Scripts/python.exe -m infra.steps.landing
if ($LASTEXITCODE -ne 0) { throw 'the loop files are not usable' }
azd env set LANDING_CONTAINERS $landing
