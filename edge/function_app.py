"""The same endpoint in the Azure Functions container: the host calls it as one HTTP function.

The host starts the program, and with it the module client, at the first request: the image's health check is that
request when nobody else asks.
"""

import os

import azure.functions as func

from edge.app import ScoringApp
from edge.device import Device
from edge.hub import EdgeHub
from edge.sandbox import Sandbox
from edge.settings import settings_from
from edge.store import BlobStore

_settings = settings_from(os.environ)

_device = Device(
    _settings,
    store=BlobStore(_settings.model_store_url),
    checker=Sandbox(mebibytes=_settings.check_mebibytes, seconds=_settings.check_seconds),
    connect=EdgeHub,
)

app = func.AsgiFunctionApp(
    app=ScoringApp(_device),
    http_auth_level=func.AuthLevel.ANONYMOUS,  # reachable from the device's own network only; keys would need the cloud
    function_name="score",
)
