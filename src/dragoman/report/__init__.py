"""One self-contained HTML page, and the model card."""
