"""The core of ff-storage, floor by floor. Importing it loads none of its modules."""
