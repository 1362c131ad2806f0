"""Recipes and the fitting loop around MLPClassifier."""
