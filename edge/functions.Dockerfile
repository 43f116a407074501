# The same program in the Azure Functions container: `docker build -f edge/functions.Dockerfile .` from the root of the
# repository. Microsoft's image runs its host as root and listens on port 80; prefer edge/Dockerfile where nothing needs
# the Functions host.
ARG BASE=mcr.microsoft.com/azure-functions/python:4-python3.13

FROM ${BASE}
COPY edge/requirements.txt /opt/requirements.txt
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement /opt/requirements.txt
COPY edge/function_app.py edge/host.json /home/site/wwwroot/
COPY edge /home/site/wwwroot/edge
COPY sketch /home/site/wwwroot/sketch
ENV AzureWebJobsScriptRoot=/home/site/wwwroot \
    AzureFunctionsJobHost__Logging__Console__IsEnabled=true \
    AzureWebJobsSecretStorageType=files \
    FUNCTIONS_WORKER_RUNTIME=python \
    MALLOC_ARENA_MAX=1
VOLUME ["/var/lib/refluent"]
EXPOSE 80
# The host starts the program at its first request: this one, when nobody else asks.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:80/health', timeout=4)"]
