"""What people should look at, and what they say about it."""
