"""The plugin of ff-storage-mssql: it registers nothing in this release."""
