"""In-memory stand-ins that keep the promises of functions/ports.py; tests/contracts holds them to it."""
