"""The dashboard: the ledger as web pages, rendered here, with the actions of the command line."""
