"""From bytes to a 28 x 28 digit."""
