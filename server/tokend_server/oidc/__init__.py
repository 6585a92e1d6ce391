"""Tokens of other issuers: their claims, their keys, and the requests that fetch the keys."""
