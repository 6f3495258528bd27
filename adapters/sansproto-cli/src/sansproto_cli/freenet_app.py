"""The commands for Freenet's transport, and their options."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from sansproto.freenet import FreenetGateway, FreenetPeer
from sansproto_sockets import system_entropy

from . import addresses
from .exits import CommandFailed, Exit
from .freenet_joining import Joining, Target
from .freenet_keys import PUBLIC_KEYS, read_key
from .freenet_serving import Serving
from .key_files import tell_keys, warn_if_open
from .options import Bind, KeyFile, Switch
from .report import make_reporter
from .signals import Signals
from .standard_streams import JsonOutput, RawOutput

_EPILOGUE = """\
Exit codes: 0 done, 1 unexpected error, 2 wrong usage, 3 nobody there, 5 the gateway refuses our version, 6 no free \
port, 7 the session ended before all was known to have arrived, 9 a file error, 130 Ctrl-C, 143 terminated."""

freenet_app = App(
    name="freenet",
    help="Messages over Freenet's transport: a gateway, and a peer that joins it.",
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
)


@freenet_app.command
def key(file: KeyFile, /, *, json: Switch = False) -> None:
    """Print the public key that belongs to the secret one in a file. The file is made if it does not exist.

    Parameters
    ----------
    file
        The file with the secret key. Only its owner may read it.
    json
        Print one JSON object per line.
    """
    keys, is_new = read_key(file, make=True)
    tell_keys(file, keys.public.hex(), made=is_new, as_json=json, public_key=keys.public.hex())


@freenet_app.command
def gateway(*, key: KeyFile, bind: Bind, echo: Switch = False, json: Switch = False) -> None:
    """Run a gateway. It lets in every peer that knows its public key, and prints a line for each that comes or goes.

    Parameters
    ----------
    key
        The file with the gateway's secret key. It is made if it does not exist.
    bind
        The address at which the gateway listens.
    echo
        Send back each message.
    json
        Print one JSON object per line.
    """
    reporter = make_reporter(as_json=json)
    place = addresses.parse_bind(bind, 0)
    keys, _ = read_key(key, make=True)
    warn_if_open(key, reporter)
    with Signals() as signals:
        core = FreenetGateway(private_key=keys.secret, entropy=system_entropy)
        Serving(core, reporter, echo=echo).run(place, signals.check)


@freenet_app.command
def join(
    gateway: Annotated[str, Parameter(metavar="PUBLICKEY")],
    at: Annotated[str, Parameter(metavar="HOST:PORT")],
    /,
    *,
    key: KeyFile,
    bind: Bind = "",
    json: Switch = False,
) -> None:
    """Join a gateway: send it each line of the input as a message, and print what arrives. It survives restarts.

    A line of more than 65536 bytes is several messages. The command ends when the input is over, all messages are known
    to have arrived, and nothing comes for a second.

    Parameters
    ----------
    gateway
        The gateway's public key.
    at
        The gateway's address.
    key
        The file with our secret key. It is made if it does not exist.
    bind
        The address that we use. [default: any free port]
    json
        Print one JSON object per line, also for each message.
    """
    reporter = make_reporter(as_json=json, beside=True)
    peer, target = PUBLIC_KEYS.parse(gateway, "gateway"), Target.parse(at)
    place, (keys, _) = addresses.parse_bind(bind, 0), read_key(key, make=True)
    if peer == keys.public:
        raise CommandFailed(Exit.USAGE, "That is our own key: give the key of the gateway.")
    warn_if_open(key, reporter)
    with Signals() as signals:
        core = FreenetPeer(private_key=keys.secret, entropy=system_entropy)
        output = JsonOutput(reporter) if json else RawOutput()
        Joining(core, peer, target, reporter, output).run(place, signals.check)
