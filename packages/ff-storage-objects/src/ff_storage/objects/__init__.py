"""Object storage for ff-storage."""
