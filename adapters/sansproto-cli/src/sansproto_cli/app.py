"""The commands and their options."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from sansproto.bob import RELAY_PORT, SECURE_PORT, Cipher, Client, PeerDelays, PeerEvent, PeerLimits, Server
from sansproto_threads import Runner, run

from . import addresses, passwords
from .addresses import RelayAddress
from .exits import CommandFailed, Exit, Interrupted
from .files import check_folder
from .line import LINGER, TICK, InputLine, Line, entropy, politely, read_line
from .options import OptionalPort, Port, Seconds, Switch
from .receiving import Receiving
from .relaying import own_relay, serve
from .report import OutputFailed, Reporter, make_reporter
from .sending import Sending
from .signals import Signals
from .sources import Source, open_source
from .usage import bug_report, usage_failure

_EPILOGUE = """\
Exit codes: 0 done, 1 unexpected error, 2 wrong usage, 3 nobody there, 4 wrong password, 5 refused, 6 no relay \
(any more), 7 transfer cut off, 8 damaged or not acceptable, 9 file or disk, 10 the sender gave up, 130 Ctrl-C, \
143 terminated. Instead of --relay and a password: SANSPROTO_RELAY and SANSPROTO_PASSWORD in the environment."""
_WAITING = 7 * 86400.0  # seconds: no sender waits that long
_LOBBY = 15.0  # seconds at the secure port for a receiver that agreed: then the sender is there for the next one
_THINKING = 240.0  # seconds for the answer to a question: the relay cuts whoever reads nothing for 300
_LIMITS = PeerLimits(send_buffer=1 << 20, receive_buffer=1 << 20)  # a tenth faster than the default on a loopback
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

app = App(
    name="sansproto",
    help="Send a file to another computer (a password finds the other side), or visit a domain of Overte.",
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
    version=lambda: version("sansproto-cli"),
)
# Imported only by who uses it.
app.command("sansproto_cli.domain_app:domain_app", name="domain", help="Visit a domain of Overte, or serve one.")
app.command("sansproto_cli.egtp_app:egtp_app", name="egtp", help="A pipe that survives restarts, and mailboxes for it.")
app.command("sansproto_cli.freenet_app:freenet_app", name="freenet", help="Messages over Freenet's transport.")
app.command("sansproto_cli.tox_app:tox_app", name="tox", help="A pipe over a session of Tox, an echo, and relays.")

RelayOption: TypeAlias = Annotated[
    str | None, Parameter(name=["--relay", "-r"], metavar="HOST[:PORT]", env_var="SANSPROTO_RELAY", show_env_var=False)
]


@app.command
def relay(
    *,
    bind: Annotated[str, Parameter(metavar="HOST[:PORT]")] = "",
    port: Port = addresses.PORT,
    secure_port: Port = addresses.SECURE_PORT,
    quiet: Switch = False,
    json: Switch = False,
) -> None:
    """Run a relay, where senders and receivers find each other. It cannot read what they send.

    Parameters
    ----------
    bind
        Listen at this address only: of a name, at its first. Without it, at every address of this computer.
    port
        Where peers meet.
    secure_port
        Where the files pass.
    quiet
        Tell only of failures.
    json
        One JSON object a line.
    """
    with Signals() as signals:
        host, at = addresses.parse_bind(bind, port)
        serve(host, at, secure_port, make_reporter(as_json=json, quiet=quiet), signals.check)


@app.command
def send(
    *files: Annotated[str, Parameter(metavar="FILE...|DIR|-", allow_leading_hyphen=True)],
    relay: RelayOption = None,
    port: OptionalPort = None,
    secure_port: OptionalPort = None,
    password: Annotated[str | None, Parameter(name=["--password", "-p"])] = None,
    compress: bool = True,
    timeout: Seconds = None,
    json: Switch = False,
) -> None:
    """Send a file. A folder or several files travel as one tar; - is the standard input.

    Parameters
    ----------
    files
        What to send.
    relay
        The relay to meet at. Without it, this command starts one of its own and tells its address.
    port
        The port of a relay of its own. [default: 9000, or a free one]
    secure_port
        The relay's second port. [default: 9001, or a free one]
    password
        What the receiver has to type. A good one is made up, and shown, if there is none; others may see in a list of
        processes what stands here.
    compress
        Compress the contents (never those of audio, video and images).
    timeout
        How long to wait for a receiver. [default: for ever]
    json
        One JSON object a line.
    """
    reporter = make_reporter(as_json=json)
    secret, shown = _choose_password(password)
    source = _open_source(files, reporter)
    with ExitStack() as stack:
        signals = stack.enter_context(Signals())
        if relay is None:
            bound = stack.enter_context(own_relay(port, secure_port))
            where = RelayAddress(addresses.own_address(), bound[RELAY_PORT].port, bound[SECURE_PORT].port)
            if where.host == addresses.LOOPBACK:
                reporter.tell("warning", "There is no network: only this computer can receive.", reason="no_network")
        else:
            where = addresses.parse_relay(relay, secure_port)
        peer = _sender(where, secret)
        runner: Runner[PeerEvent] = run(peer, linger=LINGER)
        line = Line(peer, stack.enter_context(politely(runner)), signals.check)
        command = _receive_command(shown, where)
        make = partial(Sending, relay=where, command=command, password=shown)
        make(source, peer, line, reporter, compress=compress, timeout=timeout).run()


def _open_source(files: tuple[str, ...], reporter: Reporter) -> Source:
    source = open_source(files)
    for path in source.found.skipped:
        reporter.tell("warning", f"{path} is no file or folder: left out.", path=path)
    return source


def _choose_password(given: str | None) -> tuple[str, str | None]:
    """The password, and what may be shown of it: who chose one knows it, and others may see the screen."""
    own = given or os.environ.get("SANSPROTO_PASSWORD")
    secret = own or passwords.generate()
    if not passwords.is_showable(secret):
        raise CommandFailed(
            Exit.USAGE, "The password has a character that cannot be shown and typed, such as a tab: choose another."
        )
    return secret, None if own else secret


def _sender(relay: RelayAddress, password: str) -> Server:
    return Server(
        relay=(relay.host, relay.port),
        secure_port=relay.secure_port,
        password=password.encode(),
        entropy=entropy,
        client_cipher=Cipher.AES_256_GCM,  # so that the receiver can say how it went
        comes_back=True,
        limits=_LIMITS,
        delays=PeerDelays(waiting=_WAITING, lobby=_LOBBY, linger=LINGER),
    )


@app.command(alias="recv")
def receive(
    password: str | None = None,
    /,
    *,
    relay: RelayOption = None,
    secure_port: Port = addresses.SECURE_PORT,
    output: Annotated[Path, Parameter(name=["--output", "-o"], metavar="DIR")] = Path("."),
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative=())] = False,
    max_size: Annotated[str, Parameter(metavar="SIZE")] = "1T",
    timeout: Seconds = None,
    json: Switch = False,
) -> None:
    """Receive a file into a folder, where it gets a new name if its own is taken.

    Parameters
    ----------
    password
        What the sender's command printed. Asked for if it is not given: then no list of processes shows it.
    relay
        The relay to meet at, as the sender's command printed it.
    secure_port
        The relay's second port.
    output
        The folder.
    yes
        Take the file without asking. Otherwise a line of the standard input answers.
    max_size
        Refuse more bytes than that; K, M, G and T may follow.
    timeout
        How long to wait for the sender with this password, whoever else is there. [default: 60]
    json
        One JSON object a line. The answer to "offered" is a line of the standard input.
    """
    reporter = make_reporter(as_json=json)
    if relay is None:
        raise CommandFailed(Exit.USAGE, "Where is the sender? Add --relay HOST[:PORT], as its command printed it.")
    where = addresses.parse_relay(relay, secure_port)
    check_folder(output)
    limit = _parse_size(max_size)
    secret = password or os.environ.get("SANSPROTO_PASSWORD") or _ask_password(reporter)
    with Signals() as signals:
        peer = _receiver(where, secret)
        runner: Runner[PeerEvent] = run(peer, linger=LINGER)
        with politely(runner):
            Receiving(
                output,
                peer,
                Line(peer, runner, signals.check),
                reporter,
                relay=where,
                max_size=limit,
                answer=None if yes else lambda: _wait_for_answer(signals.check),
                timeout=timeout,
            ).run()


def _receiver(relay: RelayAddress, password: str) -> Client:
    return Client(
        relay=(relay.host, relay.port),
        secure_port=relay.secure_port,
        password=password.encode(errors="surrogateescape"),  # what is no UTF-8 goes as it was typed
        entropy=entropy,
        limits=_LIMITS,
        delays=PeerDelays(linger=LINGER),
    )


@app.command
def demo() -> None:
    """Show it all on this computer: a file by a relay, a visit to a domain, a peer that is killed, a way that is cut.

    The packets between them are shown, too.
    """
    from .demo import show  # it imports every protocol, for which no other command should wait

    show(Console())


def main() -> None:
    """The entry point: every failure that was foreseen is one line, and a code."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run one command line; its exit code."""
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CommandFailed as failure:
        return _report(failure, arguments)
    except CycloptsError as error:
        return _report(usage_failure(error, arguments), arguments)
    except Interrupted as interrupted:
        return _report_interrupted(interrupted.code, arguments)
    except KeyboardInterrupt:
        return _report_interrupted(Exit.INTERRUPTED, arguments)
    except Exception as error:
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
    return _report(CommandFailed(Exit.BUG, f"An error that nobody foresaw ({name}): please report it."), arguments)


def _report_interrupted(code: Exit, arguments: list[str]) -> int:
    """A person knows; a script that reads our output may not be the one that did it."""
    if "--json" in arguments:
        _report(CommandFailed(code, "Interrupted: start again."), arguments)
    return code


def _receive_command(password: str | None, relay: RelayAddress) -> str:
    options = ["--relay", str(relay)]
    if relay.secure_port != addresses.SECURE_PORT:
        options += ["--secure-port", str(relay.secure_port)]
    return shlex.join(["sansproto", "receive", *([] if password is None else [password]), *options])


def _ask_password(reporter: Reporter) -> str:
    reporter.ask("Password:")
    password = read_line()
    if not password:
        raise CommandFailed(Exit.USAGE, "A password is needed: the sender's command printed it.")
    return password


def _wait_for_answer(check: Callable[[], None]) -> str | None:
    """A line of the standard input. Nothing more is read from the sender meanwhile: the events stay where they are."""
    line = InputLine()
    deadline = time.monotonic() + _THINKING
    while not line.is_there and time.monotonic() < deadline:
        time.sleep(TICK)
        check()
    return line.text


def _parse_size(text: str) -> int:
    found = re.fullmatch(r"(\d{1,20})([KMGT]?)B?", text.strip().upper())
    if found is None:
        raise CommandFailed(Exit.USAGE, "--max-size is no size: give bytes, or a number with K, M, G or T.")
    return int(found[1]) * _UNITS[found[2]]
