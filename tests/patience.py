"""How long tests wait before they say that something hangs; no test waits for time to pass."""

HANGS_S = 100.0  # an idle machine needs a tenth of it for whatever a test waits for, and a busy one is no defect
STORY_HANGS_S = 900.0  # for the demo's whole story, which knows by itself when one of its steps hangs
