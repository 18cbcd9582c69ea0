"""What is judged, counted and divided when a corpus is prepared."""
