"""Schema management for ff-storage: the database follows the models."""
