"""The demo: one real reel, from a request in the inbox to a verified callback."""
