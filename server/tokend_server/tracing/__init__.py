"""OpenTelemetry traces of calls, if the `otel` extra is installed and the environment enables them."""
