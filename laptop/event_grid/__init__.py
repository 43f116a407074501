"""The Event Grid relay: topics, subscriptions, deliveries, dead letters."""
