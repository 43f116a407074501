"""Uploads become jobs, jobs become models, models reach devices, telemetry becomes drift, drift becomes jobs."""
