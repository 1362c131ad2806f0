"""One stage of work a file: reads, calls the trade, writes, returns a small record."""
