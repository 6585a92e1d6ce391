class StaleReading(Exception):
    """Raised when a change is refused because the data has changed since it was read; the operation must be retried."""
