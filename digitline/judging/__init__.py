"""Metrics, and whether a challenger may replace the champion."""
