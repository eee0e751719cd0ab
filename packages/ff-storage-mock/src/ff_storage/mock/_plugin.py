"""The plugin of ff-storage-mock: it registers nothing in this release."""
