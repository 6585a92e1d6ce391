"""Cognito's own API, AWS JSON 1.1 with Signature Version 4, in front of the engines; nothing serves it yet."""
