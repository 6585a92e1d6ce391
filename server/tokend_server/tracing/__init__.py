"""OpenTelemetry traces of calls, where the environment and the `otel` extra ask for them."""
