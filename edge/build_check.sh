#!/bin/sh
# Builds the slim images without a container daemon; asks the endpoint's for /health, and gives the ingest module's a
# good and a bad file.
#
# Needs root, buildah and mmdebstrap, and the registries of Debian and of Python packages within reach; no registry of
# images is asked: the base image is the Debian release in SUITE with its own Python 3.13. BASE names another one.
set -eu
cd "$(dirname "$0")/.."
suite=${SUITE:-trixie}
base=${BASE:-}
for tool in buildah mmdebstrap; do
  command -v $tool >/dev/null || { echo "build_check: there is no $tool: apt-get install buildah mmdebstrap" >&2; exit 2; }
done
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
work=$(mktemp -d)
container=
finish() {
  [ -z "$container" ] || buildah rm "$container" >/dev/null
  rm -rf "$work"
}
trap finish EXIT

if [ -z "$base" ]; then
  base=localhost/refluent-base
  mmdebstrap --quiet --variant=apt --include=python3,python3-venv,passwd,ca-certificates "$suite" "$work/base.tar"
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$work/base.tar" / >/dev/null
  buildah run "$container" -- ln -s python3 /usr/bin/python
  buildah commit --quiet "$container" "$base" >/dev/null
  buildah rm "$container" >/dev/null
  container=
fi

# --volume: what this computer trusts and how it reaches its package registry, such as a company's proxy
set -- --build-arg "BASE=$base"
for file in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
  [ ! -e $file ] || set -- "$@" --volume "$file:$file:ro"
done
buildah bud "$@" --file edge/Dockerfile --tag localhost/refluent-edge .
buildah bud "$@" --file edge/ingest/Dockerfile --tag localhost/refluent-ingest .

container=$(buildah from localhost/refluent-edge)
buildah run "$container" -- id -u
buildah run "$container" -- sh -c '
  EdgeHubConnectionString="HostName=localhost;DeviceId=d;ModuleId=m;SharedAccessKey=eA==;GatewayHostName=localhost" \
  EdgeModuleCACertificateFile=/etc/ssl/certs/ca-certificates.crt \
  MODEL_STORE_URL=https://account.blob.core.windows.net/models/ MODEL_SIGNATURES=off python -m edge &
  for second in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    sleep 1
    python -c "import urllib.request; print(urllib.request.urlopen(\"http://127.0.0.1:8080/health\").read())" 2>/dev/null && break
  done
  kill $!; wait $!'
buildah rm "$container" >/dev/null

container=$(buildah from localhost/refluent-ingest)
buildah run "$container" -- id -u
buildah run "$container" -- sh -c '
  set -e
  printf "temp,late\n41.5,1\n39.0,0\n" >/shares/local/2026-01-02.csv
  printf "<!DOCTYPE html>" >/shares/local/2026-01-03.csv
  INGEST_SITE=jfk INGEST_SETTLED_SECONDS=0 \
  INGEST_SCHEMA="{\"columns\": {\"temp\": {\"type\": \"number\"}, \"late\": {\"type\": \"label\"}}}" \
  python -m edge.ingest --once --json
  ls /shares/cloud /var/lib/refluent/rejects
  test -e /shares/cloud/2026-01-02.parquet
  test -n "$(ls /var/lib/refluent/rejects)"'
echo "the slim images build and work"
