"""What in a text is no language, and how it is kept whole."""
