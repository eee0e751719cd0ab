"""PostgreSQL for ff-storage."""
