"""Questions over HTTP in, answers out."""

import json
from dataclasses import asdict

import azure.functions as func

from functions.operator.status import readable, status, why
from functions.wiring import cloud

blueprint = func.Blueprint()


@blueprint.route(route="status", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def answer_status(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  # the host passes it by name
    """Where every loop stands."""
    here = cloud()
    return _json([asdict(loop) for loop in status(here.rows, here.settings.loops)])


@blueprint.route(route="why/{*subject}", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def answer_why(req: func.HttpRequest) -> func.HttpResponse:
    """The chain of decisions about a blob, generation, job, model, device or episode of drift."""
    here = cloud()
    chain = why(here.rows, here.settings.loops, req.route_params["subject"])
    return _json([readable(entry) for entry in chain], status_code=200 if chain else 404)


def _json(body: object, status_code: int = 200) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body), status_code=status_code, mimetype="application/json")
