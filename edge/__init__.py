"""The inference module of an edge device: one small ASGI program and the module client beside it."""
