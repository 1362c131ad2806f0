"""Loaded by the interpreter of the tests' Prefect server: it is to collect no garbage.

What is collected are cursors of SQLite, too. To end one, the server's only thread waits for its
connection, which may be waiting for the write lock of a transaction that this thread would have to
go on with: on a busy machine all runs stood still for the minute after which SQLite gives up.
"""

import gc

gc.disable()
