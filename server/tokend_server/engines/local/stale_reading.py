class StaleReading(Exception):
    """Raised when a change is refused because the store has moved on since it was read: read again and decide again."""
