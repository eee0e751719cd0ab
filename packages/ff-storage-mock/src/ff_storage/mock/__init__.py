"""Mock data for ff-storage models."""
