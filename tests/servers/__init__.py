"""Private real servers for the tests: each on free loopback ports, in a folder of its own, ended by process id."""
