"""Fixtures that the tests share."""
