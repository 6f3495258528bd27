"""The Bob protocol: a relay, the SPOKE key exchange, and an encrypted channel for one file."""
