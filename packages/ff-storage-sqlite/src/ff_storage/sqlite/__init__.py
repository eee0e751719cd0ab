"""SQLite for ff-storage: a file or memory, nothing to install or start."""
