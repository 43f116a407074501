"""IoT Hub: the service API, the MQTT device API, automatic deployments and the telemetry log."""
