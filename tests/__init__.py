"""The tests of Telecine. `make test` installs the servers they need and runs them."""
