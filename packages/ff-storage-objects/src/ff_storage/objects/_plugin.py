"""The plugin of ff-storage-objects: it registers nothing in this release."""
