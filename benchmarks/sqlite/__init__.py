"""SQLite: one file in WAL mode, the base on the standard library's sqlite3."""
