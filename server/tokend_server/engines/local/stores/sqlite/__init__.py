"""The store on SQLite, the embedded default: its file, its write-ahead log, and backups."""
