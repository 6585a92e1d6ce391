"""Access control: authentication, authorization, rate limits and the audit log."""
