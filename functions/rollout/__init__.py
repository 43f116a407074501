"""Turn a registered model into IoT Edge deployments, ring by ring."""
