"""The store on SQLite, the embedded default: its file, the log beside it, and copies of both."""
