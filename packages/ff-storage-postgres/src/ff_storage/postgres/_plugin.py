"""The plugin of ff-storage-postgres: it registers nothing in this release."""
