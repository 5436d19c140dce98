"""The HTTP edge: the calls of the source systems and a native API, on top of an ordinary door and the ledger."""
