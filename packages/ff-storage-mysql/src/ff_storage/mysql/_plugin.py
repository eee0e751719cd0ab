"""The plugin of ff-storage-mysql: it registers nothing in this release."""
