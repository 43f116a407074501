"""Azure, one module per service; nothing else in the function app imports an SDK."""
