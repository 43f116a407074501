"""Application Insights (azure-monitor-opentelemetry). Imported only if it is to be told: it takes 0.4 s."""

import os

from azure.core.credentials import TokenCredential

from functions.errors import Refused

_UNLESS_SET = {  # read by the exporter when it is imported
    # It would tell about itself, to hosts that nobody configured
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    # It would keep five spans a second: the one upload that led to a job might be left out
    "OTEL_TRACES_SAMPLER": "parentbased_always_on",
}
_OTHERS = ("django", "fastapi", "flask", "psycopg2", "requests", "urllib", "urllib3", "httpx")  # not azure_sdk


def tell_insights(connection: str, credential: TokenCredential, *, logger: str) -> None:
    """Send traces, metrics and logs, by identity.

    Args:
        connection: The resource's connection string: its addresses; what it calls a key opens nothing by itself.
        credential: Identity with Monitoring Metrics Publisher on the resource.
        logger: Whose records are sent.

    Raises:
        Refused: The connection string is none.
    """
    for name, value in _UNLESS_SET.items():
        os.environ.setdefault(name, value)
    from azure.monitor.opentelemetry import configure_azure_monitor  # noqa: PLC0415  # see _UNLESS_SET

    try:
        configure_azure_monitor(
            connection_string=connection,
            credential=credential,
            logger_name=logger,
            enable_live_metrics=False,
            enable_performance_counters=False,
            instrumentation_options={name: {"enabled": False} for name in _OTHERS},
        )
    except ValueError as problem:
        why, fix = str(problem), "copy it from the resource's overview page, or take the setting away"
        raise Refused("APPLICATIONINSIGHTS_CONNECTION_STRING is not usable", why=why, fix=fix) from problem
