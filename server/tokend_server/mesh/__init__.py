"""Tokens for services without an SDK, through their sidecar proxies: Envoy's own services."""
