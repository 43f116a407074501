"""The least a function app can do with an event: nothing. What it costs is the host's own."""

import azure.functions as func

app = func.FunctionApp()


@app.event_grid_trigger(arg_name="event")
def ignore(event: func.EventGridEvent) -> None:
    """Take one event."""
