"""What a translator does in use: features of each translation, drift from what was normal, the score that may be expected."""
