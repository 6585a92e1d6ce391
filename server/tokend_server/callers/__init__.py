"""How callers are named, in the configuration, logs and metrics, and the form of their keys."""
