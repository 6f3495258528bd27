"""What helps to test code that uses the library, shipped for its users."""
