"""SQL Server for ff-storage."""
