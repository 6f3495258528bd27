"""What helps to test code that uses the library, shipped for its users: docs/howto/testing.rst lists the modules.

What stands in ``_internal`` may change at any time.
"""
