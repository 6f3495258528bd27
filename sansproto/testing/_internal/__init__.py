"""What the modules beside it stand on, and what only the tests of this library need: it may change at any time."""
