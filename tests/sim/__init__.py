"""The real handlers in a simulated cloud: one seed, one schedule, faults at every call of a port."""
