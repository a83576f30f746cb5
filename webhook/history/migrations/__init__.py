"""The way of the schema from one revision to the next, and back."""
