"""The ``sansproto`` command: send a file, receive one, run a relay, see it all in a demo."""
