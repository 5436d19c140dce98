"""Real servers for the tests, each on free loopback ports and in a temporary folder, stopped by process id."""
