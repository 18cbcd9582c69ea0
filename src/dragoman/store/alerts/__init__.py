"""Alerts of a run in use: the state of every rule, and an outbox that survives a kill."""
