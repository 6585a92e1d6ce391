"""Certificates and keys in files, read and checked as one."""
