"""Freenet's transport: sessions over datagrams with peers that are known by their address."""
