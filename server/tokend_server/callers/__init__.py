"""The names of callers in the configuration, logs and metrics, and the formats of their keys."""
