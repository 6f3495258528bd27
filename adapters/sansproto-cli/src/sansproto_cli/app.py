"""The commands and their options."""

from __future__ import annotations

import errno
import shlex
import sys
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import App, CycloptsError, Parameter

from sansproto.bob import RELAY_PORT, SECURE_PORT, Cipher, Client, PeerDelays, PeerEvent, PeerLimits, Server
from sansproto_sockets import system_entropy
from sansproto_threads import Runner, run

from . import addresses, passwords
from .addresses import RelayAddress
from .exits import CommandFailed, Exit, Interrupted
from .line import LINGER, Line, read_line
from .options import OptionalPort, Port, Seconds, Switch
from .output import Target
from .receiving import Receiving, Wishes
from .relaying import own_relay, serve
from .report import OutputFailed, Reporter, has_room, make_console, make_reporter
from .sending import Sending
from .signals import Signals, end_as_ctrl_c_does
from .sizes import parse_size
from .sources import Source, open_source, text_source
from .usage import bug_report, too_many_words, usage_failure

_EPILOGUE = """\
Exit codes: 0 done, 1 unexpected error, 2 wrong usage, 3 nobody there, 4 wrong password, 5 refused, 6 no relay, 7 \
transfer cut off, 8 damaged or not acceptable, 9 a file or disk error, 10 the sender gave up, 130 Ctrl-C, 143 \
terminated. Environment variables can replace options: SANSPROTO_RELAY, SANSPROTO_SECURE_PORT and \
SANSPROTO_PASSWORD."""
_WAITING = 7 * 86400.0  # seconds: no sender waits that long
_LOBBY = 15.0  # seconds at the secure port for a receiver that agreed: then the sender is there for the next one
_PATIENCE = 20.0  # seconds there for a sender, which gives up sooner
_LIMITS = PeerLimits(send_buffer=1 << 20, receive_buffer=1 << 20)  # a tenth faster than the default on a loopback

app = App(
    name="sansproto",
    help="Send files to another computer, visit domains of Overte, and pipe data over EGTP, Tox or Freenet.",
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
    version=lambda: version("sansproto-cli"),
)
# Imported only by who uses it.
app.command("sansproto_cli.domain_app:domain_app", name="domain", help="Visit a domain of Overte, or serve one.")
app.command("sansproto_cli.egtp_app:egtp_app", name="egtp", help="A pipe that survives restarts, and mailboxes for it.")
app.command("sansproto_cli.freenet_app:freenet_app", name="freenet", help="Messages over Freenet's transport.")
app.register_install_completion_command()
app.command("sansproto_cli.tox_app:tox_app", name="tox", help="A pipe over a session of Tox, an echo, and relays.")

PasswordOption: TypeAlias = Annotated[str | None, Parameter(name=["--password", "-p"])]
PasswordFile: TypeAlias = Annotated[
    Path | None, Parameter(metavar="FILE", help="A file whose first line is the password.")
]
OutputOption: TypeAlias = Annotated[
    str | None,
    Parameter(
        name=["--output", "-o"],
        metavar="DIR|FILE|-",
        allow_leading_hyphen=True,
        help="A folder, a file that is not there yet, or - for the standard output. The standard output is verified "
        "only when this command has ended with 0. [default: this folder]",
    ),
]
RelayOption: TypeAlias = Annotated[
    str | None, Parameter(name=["--relay", "-r"], metavar="HOST[:PORT]", env_var="SANSPROTO_RELAY", show_env_var=False)
]


@app.command
def relay(
    *,
    bind: Annotated[str, Parameter(metavar="HOST[:PORT]", show_default=False)] = "",
    port: Port = addresses.PORT,
    secure_port: OptionalPort = None,
    quiet: Switch = False,
    json: Switch = False,
) -> None:
    """Run a relay, where senders and receivers find each other. It cannot read what they send.

    Parameters
    ----------
    bind
        Listen only at this address; if it is a name, at its first address. [default: every address of this computer]
    port
        The port at which senders and receivers meet.
    secure_port
        The port through which the files pass. [default: the next one]
    quiet
        Report only failures.
    json
        Print one JSON object per line.
    """
    with Signals() as signals:
        host, at = addresses.parse_bind(bind, port)
        behind = addresses.next_port(at) if secure_port is None else secure_port
        serve(host, at, behind, make_reporter(as_json=json, quiet=quiet), signals.check)


@app.command
def send(
    *files: Annotated[str, Parameter(metavar="FILE...|DIR|-", allow_leading_hyphen=True)],
    text: Annotated[str | None, Parameter(metavar="TEXT")] = None,
    name: Annotated[str | None, Parameter(metavar="NAME")] = None,
    relay: RelayOption = None,
    bind: Annotated[str, Parameter(metavar="HOST[:PORT]", show_default=False)] = "",
    port: OptionalPort = None,
    secure_port: OptionalPort = None,
    password: PasswordOption = None,
    password_file: PasswordFile = None,
    compress: bool | None = None,
    timeout: Seconds = None,
    json: Switch = False,
) -> None:
    """Send a file. A folder or several files are sent as one tar; - is the standard input.

    Parameters
    ----------
    files
        A file, several files, a folder, or - for the standard input.
    text
        Send this text instead of a file: it is shown at the other end.
    name
        The name of the file at the other end. [default: its own name]
    relay
        The relay to meet at. Without it, this command starts one of its own and shows its address.
    bind
        The address at which a relay of its own listens. [default: every address of this computer]
    port
        The port of a relay of its own. [default: 9000, or a free one]
    secure_port
        The relay's second port. [default: the next one]
    password
        The password that the receiver types. A list of processes shows it. [default: made up, and printed]
    compress
        Whether to compress the contents. [default: compress if that makes their beginning smaller]
    timeout
        How long to wait until the receiver has said yes. [default: for ever]
    json
        Print one JSON object per line.
    """
    reporter = make_reporter(as_json=json)
    if relay is not None and (bind or port is not None):
        raise CommandFailed(Exit.USAGE, "--bind and --port are for a relay of our own: leave them out, or --relay.")
    here, there = addresses.parse_bind(bind, port), None if relay is None else addresses.parse_relay(relay, secure_port)
    secret, shown = passwords.choose(password, password_file)
    source = _open_source(files, text, name, reporter)
    with ExitStack() as stack:
        signals = stack.enter_context(Signals())
        where, receivers = (there, tuple) if there else _own_relay(here, secure_port, reporter, stack)
        peer = _sender(where, secret)
        runner: Runner[PeerEvent] = run(peer, linger=LINGER)
        line = Line(peer, stack.enter_context(runner), signals.check)
        make = partial(Sending, relay=where, command=_receive_command(shown, where), password=shown)
        make(source, peer, line, reporter, receivers=receivers, compress=compress, timeout=timeout).run()


def _own_relay(
    here: tuple[str, int | None], secure_port: int | None, reporter: Reporter, stack: ExitStack
) -> tuple[RelayAddress, Callable[[], Collection[str]]]:
    host, at = here
    own = stack.enter_context(own_relay(host, at, secure_port))
    bound = own.addresses
    ports = bound[RELAY_PORT].port, bound[SECURE_PORT].port
    where = RelayAddress(addresses.shown(bound[RELAY_PORT].host), *ports)
    if where.host == addresses.LOOPBACK and not host:
        reporter.tell("warning", "There is no network: only this computer can receive.", reason="no_network")
    return where, lambda: own.receivers


def _open_source(files: tuple[str, ...], text: str | None, name: str | None, reporter: Reporter) -> Source:
    if text is not None and files:
        raise CommandFailed(Exit.USAGE, "--text is sent instead of files: leave out --text or the files.")
    source = open_source(files) if text is None else text_source(text)
    for path in source.found.skipped:
        reporter.tell("warning", f"{path} is not a file or folder: left out.", path=path)
    return source if name is None else source.named(name)


def _sender(relay: RelayAddress, password: str) -> Server:
    return Server(
        relay=(relay.host, relay.port),
        secure_port=relay.secure_port,
        password=password.encode(),
        entropy=system_entropy,
        client_cipher=Cipher.AES_256_GCM,  # so that the receiver can say how it went
        comes_back=True,
        limits=_LIMITS,
        delays=PeerDelays(waiting=_WAITING, lobby=_LOBBY, linger=LINGER),
    )


@app.command(alias="recv")
def receive(
    *words: Annotated[str, Parameter(metavar="PASSWORD", name="PASSWORD")],
    password: PasswordOption = None,
    password_file: PasswordFile = None,
    relay: RelayOption = None,
    secure_port: OptionalPort = None,
    output: OutputOption = None,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=())] = False,
    max_size: Annotated[str, Parameter(metavar="SIZE")] = "1T",
    keep_tar: Switch = False,
    preserve: bool = True,
    timeout: Seconds = None,
    json: Switch = False,
) -> None:
    """Receive a file into a folder, where it gets a new name if its own is taken. A received folder is unpacked.

    Parameters
    ----------
    words
        The password, as the sender's command printed it. Without it, you are asked; then no list of processes shows it.
    password
        The password, as an option.
    relay
        The relay to meet at, as the sender's command printed it.
    secure_port
        The relay's second port. [default: SANSPROTO_SECURE_PORT, or the next one]
    yes
        Take the file without asking. Otherwise a line of the standard input answers.
    max_size
        Refuse more bytes than this; K, M, G and T may follow, as in 1.5G.
    keep_tar
        Do not unpack folders.
    preserve
        Keep permissions and times of files.
    timeout
        How long to wait until the sender with this password offers a file, whatever other senders do. [default: 60]
    json
        Print one JSON object per line. The answer to "offered" is a line of the standard input.
    """
    is_beside = output == "-"
    if is_beside and json:
        raise CommandFailed(Exit.USAGE, "--json and -o - both write to the standard output: leave out one of them.")
    reporter = make_reporter(as_json=json, beside=is_beside)
    if relay is None:
        raise CommandFailed(Exit.USAGE, "No relay is named: add --relay HOST[:PORT], as the sender printed it.")
    where = addresses.parse_relay(relay, secure_port)
    wishes = Wishes(
        max_size=parse_size(max_size),
        target=Target.parse(output),
        ask=not yes,
        timeout=60.0 if timeout is None else timeout,
        keep_tar=keep_tar,
        preserve=preserve,
    )
    secret = passwords.given(words, password, password_file) or _ask_password(reporter)
    with Signals() as signals:
        peer = _receiver(where, secret)
        runner: Runner[PeerEvent] = run(peer, linger=LINGER)
        with runner:
            Receiving(peer, Line(peer, runner, signals.check), reporter, wishes, relay=where).run()


def _receiver(relay: RelayAddress, password: str) -> Client:
    return Client(
        relay=(relay.host, relay.port),
        secure_port=relay.secure_port,
        password=password.encode(errors="surrogateescape"),  # what is no UTF-8 goes as it was typed
        entropy=system_entropy,
        limits=_LIMITS,
        delays=PeerDelays(lobby=_PATIENCE, linger=LINGER),
    )


@app.command
def demo() -> None:
    """Show everything on this computer: a file through a relay, a visit to a domain, a killed peer, a failing network.

    It shows the packets, too.
    """
    from .demo import show  # it imports every protocol, for which no other command should wait

    end_as_ctrl_c_does()
    show(make_console(sys.stdout))


def main() -> None:
    """The entry point: every failure that was foreseen is one line, and a code."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run one command line; its exit code."""
    try:
        console = make_console(sys.stdout)
        app(arguments, console=console, exit_on_error=False, print_error=False, result_action="return_value")
    except CommandFailed as failure:
        return _report(failure, arguments)
    except passwords.TooManyWords as error:
        return _report(too_many_words(error.words, arguments), arguments)
    except CycloptsError as error:
        return _report(usage_failure(error, arguments), arguments)
    except Interrupted as interrupted:
        return _report_interrupted(interrupted, arguments)
    except KeyboardInterrupt:
        return _report_interrupted(Interrupted(Exit.INTERRUPTED), arguments)
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # Python 3.11 wraps what __set_name__ raises
            return _report_interrupted(Interrupted(Exit.INTERRUPTED), arguments)
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            text = f"{error.strerror}: close some, or raise the limit (ulimit -n)."
            return _report(CommandFailed(Exit.FILES, text), arguments)
        return _report_bug(error, arguments)
    return Exit.DONE


def _report(failure: CommandFailed, arguments: list[str]) -> int:
    as_json = "--json" in arguments and not isinstance(failure, OutputFailed)
    try:
        make_reporter(as_json=as_json).fail(failure)
    except OutputFailed:
        make_reporter(quiet=True).fail(failure)
    return failure.code


def _report_bug(error: Exception, arguments: list[str]) -> int:
    with suppress(OSError):
        print(bug_report(error), file=sys.stderr)
    name = type(error).__name__
    return _report(CommandFailed(Exit.BUG, f"An unexpected error ({name}): please report it."), arguments)


def _report_interrupted(interrupted: Interrupted, arguments: list[str]) -> int:
    """Whoever reads that may not be who did it; where nobody reads, nobody waits for it."""
    if has_room(sys.stdout if "--json" in arguments else sys.stderr):
        _report(CommandFailed(interrupted.code, interrupted.message), arguments)
    return interrupted.code


def _receive_command(password: str | None, relay: RelayAddress) -> str:
    options = ["--relay", str(relay)]
    if (relay.port, relay.secure_port) != (addresses.PORT, addresses.SECURE_PORT):
        options += ["--secure-port", str(relay.secure_port)]
    return shlex.join(["sansproto", "receive", *([] if password is None else [password]), *options])


def _ask_password(reporter: Reporter) -> str:
    reporter.ask("Password:")
    password = read_line()
    if not password:
        raise CommandFailed(Exit.USAGE, "There is no password: type the one that the sender's command printed.")
    return passwords.as_typed(password)
