"""The plugin of ff-storage-erd: it registers nothing in this release."""
