"""Azurite, and the front before its blob service that emits BlobCreated."""
