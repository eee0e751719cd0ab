"""The plugin of ff-storage-temporal: it registers nothing in this release."""
