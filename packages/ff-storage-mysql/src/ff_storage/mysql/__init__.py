"""MySQL and MariaDB for ff-storage."""
