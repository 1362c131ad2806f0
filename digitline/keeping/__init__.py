"""What lies beneath the home: how things stand, what is kept and for how long."""
