"""The plugin of ff-storage-sqlite: what it gives to core's registry."""
