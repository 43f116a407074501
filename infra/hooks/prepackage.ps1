# Brings the packages of requirements.txt, hash by hash, for the Python and the system that Azure runs.
$ErrorActionPreference = 'Stop'
if (-not (Test-Path .venv/Scripts/python.exe)) { throw 'there is no .venv; docs/azure.md says how to make one on Windows' }
if (Test-Path .python_packages) { Remove-Item -Recurse -Force .python_packages }
uv pip install --quiet --require-hashes --no-deps --only-binary :all: --no-compile-bytecode `
  --python .venv/Scripts/python.exe --python-version 3.13 --python-platform x86_64-manylinux_2_28 `
  --target .python_packages/lib/site-packages --requirement requirements.txt
if ($LASTEXITCODE -ne 0) { throw 'the packages could not be installed' }
