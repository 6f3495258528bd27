"""The paths that an application gives: an address that is not numeric would never be that of an answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sansproto.contract import Path, SendDatagram
from sansproto.egtp import EgtpNode
from sansproto.endpoint import DatagramEndpoint
from sansproto.errors import LocalProtocolError
from sansproto.freenet import FreenetPeer
from sansproto.testing.entropy import ScriptedEntropy
from sansproto.tox import ToxNode

OURS, THEIRS, MORE = b"\1" * 32, b"\2" * 32, b"\3" * 32


def tox() -> tuple[ToxNode, Callable[[Path], object]]:
    node, friend = (
        ToxNode(real_key=real, dht_key=dht, entropy=ScriptedEntropy(seed=b"tox"), wall_epoch=1.7e9)
        for real, dht in ((OURS, MORE), (THEIRS, MORE))
    )
    return node, lambda path: node.add_friend(friend.real_key, friend.dht_key, 1.0, path=path)


def freenet() -> tuple[FreenetPeer, Callable[[Path], object]]:
    peer, other = (FreenetPeer(private_key=key, entropy=ScriptedEntropy(seed=b"freenet")) for key in (OURS, THEIRS))
    return peer, lambda path: peer.connect(other.public_key, path, 1.0)


def freenet_expects() -> tuple[FreenetPeer, Callable[[Path], object]]:
    peer, _ = freenet()
    return peer, lambda path: peer.expect(path, 1.0)


def freenet_disconnects() -> tuple[FreenetPeer, Callable[[Path], object]]:
    peer, _ = freenet()
    return peer, lambda path: peer.disconnect(path, 1.0)


def egtp() -> tuple[EgtpNode, Callable[[Path], object]]:
    node, other = (
        EgtpNode(private_key=key, entropy=ScriptedEntropy(seed=b"egtp"), wall_epoch=1.7e9) for key in (OURS, THEIRS)
    )
    node.start(0.0)
    return node, lambda path: node.connect(other.public_key, path, 1.0)


ALL = [tox, freenet, freenet_expects, freenet_disconnects, egtp]


@pytest.mark.parametrize("made", ALL)
@pytest.mark.parametrize("host", ["localhost", "127.1", "", "fe80::1%eth0", "[::1]"])
def test_a_host_that_is_not_numeric_is_refused_before_anything_changes(
    made: Callable[[], tuple[DatagramEndpoint[object, object], Callable[[Path], object]]], host: str
) -> None:
    endpoint, verb = made()
    with pytest.raises(LocalProtocolError, match="is not a numeric address"):
        verb(Path("udp", host, 4000))
    assert endpoint.clock == 0.0
    assert endpoint.next_transmit() is None


@pytest.mark.parametrize("made", ALL)
@pytest.mark.parametrize("port", [-1, 0, 65_536])
def test_a_number_that_is_no_port_is_refused(
    made: Callable[[], tuple[DatagramEndpoint[object, object], Callable[[Path], object]]], port: int
) -> None:
    with pytest.raises(LocalProtocolError, match="is not a port"):
        made()[1](Path("udp", "127.0.0.1", port))


@pytest.mark.parametrize("made", [tox, freenet, egtp])
@pytest.mark.parametrize(
    ("host", "canonical"), [("::ffff:127.0.0.1", "127.0.0.1"), ("0:0::1", "::1"), ("FE80::A", "fe80::a")]
)
def test_another_form_of_an_address_is_that_by_which_answers_come(
    made: Callable[[], tuple[DatagramEndpoint[object, object], Callable[[Path], object]]], host: str, canonical: str
) -> None:
    endpoint, verb = made()
    verb(Path("udp", host, 4000, 7))
    endpoint.handle_timeout(1.0)
    sent = [*iter(endpoint.next_transmit, None)]
    assert {one.path for one in sent if isinstance(one, SendDatagram)} == {Path("udp", canonical, 4000, 7)}
