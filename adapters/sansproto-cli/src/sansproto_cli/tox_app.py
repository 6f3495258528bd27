"""The commands for Tox, and their options."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from cyclopts import App, Parameter

from sansproto.tox import Proxy

from . import addresses
from .exits import CommandFailed, Exit
from .key_files import tell_keys, warn_if_open
from .options import Bind, KeyFile, Seconds, Switch
from .report import make_reporter
from .signals import Signals
from .standard_streams import JsonOutput, RawOutput
from .tox_keys import parse_friend, read_keys
from .tox_listening import Listening
from .tox_meeting import Meeting, parse_proxy
from .tox_piping import Piping
from .tox_relaying import serve

_EPILOGUE = """\
Exit codes: 0 done, 1 unexpected error, 2 wrong usage, 3 nobody there, 6 no free port, 7 the session ended before \
all had arrived, 8 the other end breaks the rules, 9 a file error, 130 Ctrl-C, 143 terminated. Nobody is looked up \
in Tox's network: give each end the keys of the other, and an address or a relay."""

tox_app = App(
    name="tox",
    help="Sessions with friends, as Tox has them: a pipe, an echo, and relays.",
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
)

Through: TypeAlias = Annotated[str | None, Parameter(name="--proxy", metavar="http|socks5://HOST:PORT")]
Relays: TypeAlias = Annotated[
    tuple[str, ...], Parameter(name="--relay", metavar="PUBLICKEY@HOST:PORT", negative=(), show_default=False)
]


@tox_app.command
def key(file: KeyFile, /, *, json: Switch = False) -> None:
    """Print the public keys that belong to the secret ones in a file. The file is made if it does not exist.

    The first key, real, says who a node is. The second key, DHT, says how it is found. A relay is named by the second.

    Parameters
    ----------
    file
        The file with the two secret keys, one a line, in the same order. Only its owner may read it.
    json
        Print one JSON object per line.
    """
    keys, is_new = read_keys(file, make=True)
    real, dht = keys.real.public.hex(), keys.dht.public.hex()
    tell_keys(file, keys.name, made=is_new, as_json=json, real_key=real, dht_key=dht)


@tox_app.command
def pipe(
    friend: Annotated[str, Parameter(metavar="REAL:DHT")],
    /,
    *,
    key: KeyFile,
    bind: Bind = "",
    to: Annotated[str | None, Parameter(metavar="HOST:PORT")] = None,
    relay: Relays = (),
    proxy: Through = None,
    timeout: Seconds = None,
    json: Switch = False,
) -> None:
    """Connect the standard input and output to those of a friend. One end writes what the other one reads: all of it,
    in order, and once.

    The pipe is done when both inputs are over and completely written. If the session ends before that, the command says
    how much arrived.

    Parameters
    ----------
    friend
        The other end's public keys, as its sansproto tox key prints them. Other callers are ignored.
    key
        The file with our secret keys.
    bind
        The address at which we listen. [default: any free port]
    to
        The address of the other end. Without it, and without --relay, the other end has to call us.
    relay
        A relay at which both ends meet. May be given several times.
    proxy
        An HTTP or SOCKS5 proxy to the relays, which also looks up their names. Nothing bypasses it; UDP is not used.
    timeout
        How long to wait for the other end. [default: for ever]
    json
        Print one JSON object per line, also for each piece of what arrives.
    """
    reporter = make_reporter(as_json=json, beside=True)
    other, (keys, _) = parse_friend(friend), read_keys(key)
    if other.real == keys.real.public:
        raise CommandFailed(Exit.USAGE, "Those are our own keys: give the keys of the other end.")
    warn_if_open(key, reporter)
    through = _read_proxy(proxy, bool(bind or to), relay)
    if not bind and to is None and not relay:
        raise CommandFailed(Exit.USAGE, "No meeting place is named: give --to, --relay, or --bind to be called.")
    place = None if to is None else addresses.parse_bound(to, "friend", "192.168.1.10:33445")
    meeting = Meeting(keys, bind, relay, reporter, proxy=through)
    with Signals() as signals, meeting.begin() as runner:
        output = JsonOutput(reporter) if json else RawOutput()
        Piping(meeting, runner, other, output, timeout).run(place, signals.check)


@tox_app.command
def listen(
    *,
    key: KeyFile,
    friend: Annotated[tuple[str, ...], Parameter(metavar="REAL:DHT", negative=())],
    bind: Bind = "",
    relay: Relays = (),
    proxy: Through = None,
    quiet: Switch = False,
    json: Switch = False,
) -> None:
    """Send back what friends send: messages, custom packets, and pipes. Until Ctrl-C.

    Parameters
    ----------
    key
        The file with our secret keys.
    friend
        A friend's public keys, as its sansproto tox key prints them. May be given several times.
    bind
        The address at which we listen. Without a port, any free one is used.
    relay
        A relay at which friends meet us. May be given several times.
    proxy
        An HTTP or SOCKS5 proxy to the relays, which also looks up their names. Nothing bypasses it; UDP is not used.
    quiet
        Report only failures.
    json
        Print one JSON object per line.
    """
    reporter = make_reporter(as_json=json, quiet=quiet)
    friends, (keys, _) = [parse_friend(one) for one in friend], read_keys(key)
    if any(one.real == keys.real.public for one in friends):
        raise CommandFailed(Exit.USAGE, "One of these is our own key: give only the keys of friends.")
    warn_if_open(key, reporter)
    through = _read_proxy(proxy, bool(bind), relay)
    if not bind and not relay:
        raise CommandFailed(Exit.USAGE, "No meeting place is named: give --bind or --relay.")
    meeting = Meeting(keys, bind, relay, reporter, proxy=through)
    with Signals() as signals, meeting.begin() as runner:
        Listening(meeting, runner, friends).run(signals.check)


@tox_app.command
def relay(*, bind: Bind, key: KeyFile, quiet: Switch = False, json: Switch = False) -> None:
    """Run a relay, for friends who cannot call each other. It cannot read what they say.

    Parameters
    ----------
    bind
        The address at which the relay listens.
    key
        The file with the relay's secret keys. It is made if it does not exist.
    quiet
        Report only failures.
    json
        Print one JSON object per line.
    """
    reporter = make_reporter(as_json=json, quiet=quiet)
    place = addresses.parse_bind(bind, 0)
    keys, _ = read_keys(key, make=True)
    warn_if_open(key, reporter)
    with Signals() as signals:
        serve(keys, place, reporter, signals.check)


def _read_proxy(text: str | None, is_direct: bool, relays: tuple[str, ...]) -> Proxy | None:
    """Behind a proxy nobody is met but at relays."""
    proxy = None if text is None else parse_proxy(text)
    if proxy is not None and (is_direct or not relays):
        raise CommandFailed(Exit.USAGE, "With --proxy there is no UDP: give --relay, and neither --bind nor --to.")
    return proxy
