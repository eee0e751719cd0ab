"""Entity relationship diagrams of ff-storage models."""
