"""Data first, then charts, then pages."""
