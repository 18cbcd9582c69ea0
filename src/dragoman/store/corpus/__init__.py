"""The corpus on disk: reading, cleaning, splits."""
