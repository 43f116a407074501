"""What a deployment does once its resources are there, called by infra/hooks/."""
