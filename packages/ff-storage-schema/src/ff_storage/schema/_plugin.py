"""The plugin of ff-storage-schema: what it gives to core's registry."""
