"""Metrics, statistics, confidence, flags."""
