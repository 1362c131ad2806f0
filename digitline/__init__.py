"""Digitline: retrain, judge and run a reader of handwritten digits, in bulk."""

__version__ = "0.1.0"
