"""The commands for EGTP, and their options."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from sansproto.egtp import EgtpNode, MailboxServer, NodeDelays
from sansproto_sockets import system_entropy, wall_epoch

from . import addresses
from .egtp_keys import PUBLIC_KEYS, read_key
from .egtp_piping import FAREWELL, Piping, Target
from .egtp_serving import MailServing
from .exits import CommandFailed, Exit
from .key_files import tell_keys, warn_if_open
from .mailbox_store import SqliteStore
from .options import Bind, KeyFile, Switch
from .report import make_reporter
from .signals import Signals
from .standard_streams import JsonOutput, RawOutput

_EPILOGUE = """\
Exit codes: 0 done, 1 unexpected error, 2 wrong usage, 3 nobody there, 5 the other end refuses us, 6 no free port, 9 \
a file error, 130 Ctrl-C, 143 terminated."""

egtp_app = App(
    name="egtp",
    help="Encrypted sessions that survive restarts: a pipe between two computers.",
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
)


@egtp_app.command
def key(file: KeyFile, /, *, json: Switch = False) -> None:
    """Print the public key that belongs to the private one in a file. The file is made if it does not exist.

    Parameters
    ----------
    file
        The file with the private key. Only its owner may read it.
    json
        Print one JSON object per line.
    """
    keys, is_new = read_key(file, make=True)
    tell_keys(file, keys.public.hex(), made=is_new, as_json=json, public_key=keys.public.hex())


@egtp_app.command
def pipe(
    peer: Annotated[str, Parameter(metavar="PUBLICKEY")],
    /,
    *,
    key: KeyFile,
    bind: Bind = "",
    to: Annotated[str | None, Parameter(metavar="HOST:PORT")] = None,
    mailbox: Annotated[str | None, Parameter(metavar="PUBLICKEY@HOST:PORT")] = None,
    poll: Annotated[float, Parameter(metavar="SECONDS", validator=validators.Number(gte=1, lte=3600))] = 60.0,
    json: Switch = False,
) -> None:
    """Connect the standard input and output to those of another computer. The pipe survives restarts of both ends.

    Each line, or at most 1198 bytes of it, is one message, which may be lost or overtaken. 256 messages wait while the
    other end is away. When the input ends, the command says goodbye.

    Parameters
    ----------
    peer
        The other end's public key, as its sansproto egtp key prints it. Other callers are ignored.
    key
        The file with our private key.
    bind
        The address at which we listen. [default: any free port]
    to
        The address of the other end. Without it, and without --mailbox, the other end has to call us.
    mailbox
        A mailbox server at which both ends have a mailbox.
    poll
        How often the mailbox is asked.
    json
        Print one JSON object per line, also for each message.
    """
    reporter = make_reporter(as_json=json, beside=True)
    peer_key, (keys, _) = PUBLIC_KEYS.parse(peer, "peer"), read_key(key)
    if peer_key == keys.public:
        raise CommandFailed(Exit.USAGE, "That is our own key: give the key of the other end.")
    warn_if_open(key, reporter)
    if not bind and to is None and mailbox is None:
        raise CommandFailed(Exit.USAGE, "No meeting place is named: give --to, --mailbox, or --bind to be called.")
    target, place = Target.parse(to, mailbox), addresses.parse_bind(bind, 0)
    node = EgtpNode(
        private_key=keys.private,
        entropy=system_entropy,
        wall_epoch=wall_epoch(),
        relays=() if target.relay is None else (target.relay,),
        only=(peer_key,),
        delays=NodeDelays(poll=poll, farewell=FAREWELL),
    )
    with Signals() as signals:
        output = JsonOutput(reporter) if json else RawOutput()
        Piping(node, peer_key, target, reporter, output).run(place, signals.check)


@egtp_app.command
def mailbox(
    *,
    bind: Bind,
    key: KeyFile,
    store: Annotated[Path, Parameter(metavar="FILE")],
    quiet: Switch = False,
    json: Switch = False,
) -> None:
    """Run a mailbox server. It keeps packets for nodes that cannot be reached, until they poll. It cannot read them.

    Parameters
    ----------
    bind
        The address at which the server listens.
    key
        The file with the server's private key. It is made if it does not exist.
    store
        The file that keeps packets through a restart of the server.
    quiet
        Report only failures.
    json
        Print one JSON object per line.
    """
    reporter = make_reporter(as_json=json, quiet=quiet)
    host, port = addresses.parse_bind(bind, 0)
    keys, _ = read_key(key, make=True)
    warn_if_open(key, reporter)
    with Signals() as signals, closing(SqliteStore(store)) as opened:
        server = MailboxServer(private_key=keys.private, entropy=system_entropy, wall_epoch=wall_epoch())
        MailServing(server, opened, reporter).run(host, port, signals.check)
