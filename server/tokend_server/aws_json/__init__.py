"""Cognito's own API, AWS JSON 1.1 with Signature Version 4, for AWS's SDKs."""
