"""Queues and blobs, in and out."""

import json

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
SEEN: list[object] = []


@app.queue_trigger(arg_name="message", queue_name="%JOBS%", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="next_one", queue_name="done", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="copy", path="copies/{id}.json", connection="AzureWebJobsStorage")
def on_message(message: func.QueueMessage, next_one: func.Out[str], copy: func.Out[str]) -> None:
    """Pass one message on; the body `fails` never succeeds."""
    body = message.get_body().decode()
    SEEN.append([message.id, message.dequeue_count, body, str(message.insertion_time), bool(message.pop_receipt)])
    if body == "fails":
        raise ValueError(body)
    next_one.set(f"after {body}")
    copy.set(body)


@app.queue_trigger(arg_name="message", queue_name="done", connection="ByKey")
def on_done(message: func.QueueMessage) -> None:
    """Note what `on_message` passed on; this connection is a connection string."""
    SEEN.append(message.get_body().decode())


@app.blob_trigger(
    arg_name="blob", path="uploads/{site}/{name}", connection="AzureWebJobsStorage", source=func.BlobSource.EVENT_GRID
)
def on_blob(blob: func.InputStream) -> None:
    """Note one blob."""
    SEEN.append([blob.name, blob.uri, blob.length, blob.read().decode(), getattr(blob, "metadata", None)])


@app.route(route="seen")
def seen(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - every HTTP function takes one
    """Tell what was noted so far."""
    return func.HttpResponse(json.dumps(SEEN))
