"""Models: Pydantic classes, the tables they describe, and instances made of rows."""
