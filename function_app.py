"""Table of contents: one blueprint per slice; a broken setting or loop stops the start here."""

import azure.functions as func

import functions.drift.trigger
import functions.operator.trigger
import functions.promotion.trigger
import functions.replay.trigger
import functions.retraining.trigger
import functions.rollout.trigger
from functions.wiring import azure, tell

azure()
tell()

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
app.register_functions(functions.retraining.trigger.blueprint)
app.register_functions(functions.promotion.trigger.blueprint)
app.register_functions(functions.rollout.trigger.blueprint)
app.register_functions(functions.drift.trigger.blueprint)
app.register_functions(functions.operator.trigger.blueprint)
app.register_functions(functions.replay.trigger.blueprint)
