"""History for ff-storage models."""
