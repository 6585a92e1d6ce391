"""Tokens for services without an SDK, in the terms of the proxy beside them: Envoy's own services."""
