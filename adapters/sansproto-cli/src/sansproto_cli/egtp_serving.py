"""A mailbox server, and its store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress

from sansproto.egtp import (
    MAILBOX_PORT,
    MailboxMade,
    MailboxRemoved,
    MailboxServer,
    MailboxServerEvent,
    StoreChange,
    StoreWanted,
)
from sansproto_sockets import Runner, run

from . import addresses
from .exits import CommandFailed, Exit, Interrupted
from .line import SERVER_LINGER, each_event
from .mailbox_store import Store
from .mistakes import tell_stopped
from .relaying import raise_descriptor_limit
from .report import Reporter

_TOGETHER = 256  # changes that are stored in one go


class MailServing:
    """Runs a mailbox server until it is interrupted."""

    def __init__(self, server: MailboxServer, store: Store, reporter: Reporter) -> None:
        self._server, self._store, self._reporter = server, store, reporter

    def run(self, host: str, port: int, check: Callable[[], None]) -> None:
        raise_descriptor_limit()
        running: Runner[MailboxServerEvent] = run(
            self._server, listen={MAILBOX_PORT: (host, port)}, linger=SERVER_LINGER
        )
        with ExitStack() as stack:
            stored = tuple(self._store.mailboxes())
            try:
                self._runner = stack.enter_context(running)
            except OSError as error:
                text = f"Cannot listen ({error.strerror}): choose another --bind."
                raise CommandFailed(Exit.RELAY, text) from error
            self._runner.call(lambda now: self._server.load(stored, now))
            self._tell_started(len(stored))
            with suppress(Interrupted):
                for event in each_event(self._runner, check):
                    if isinstance(event, StoreWanted):
                        self._store_with_others(event)
            tell_stopped(self._reporter, "The mailbox server", self._server.stats)

    def _tell_started(self, count: int) -> None:
        bound = self._runner.addresses[MAILBOX_PORT]
        shown, key = addresses.shown(bound.host), self._server.keys.public.hex()
        where = addresses.format_address(shown, bound.port)
        self._reporter.command(
            "mailbox_started",
            f"Mailbox server at {where}. Mailboxes in its store: {count}. Ctrl-C stops it. Nodes that use it take:",
            f"--mailbox {key}@{where}",
            host=shown,
            port=bound.port,
            public_key=key,
            mailboxes=count,
        )

    def _store_with_others(self, first: StoreWanted) -> None:
        """One write for all that wait, then it is said of the last."""
        wanted = [first]
        with suppress(TimeoutError):
            while len(wanted) < _TOGETHER:
                event = self._runner.next_event(timeout=0)
                if isinstance(event, StoreWanted):
                    wanted.append(event)
        changes = [event.change for event in wanted]
        self._store.write(changes)
        self._runner.call(lambda now: self._server.stored(wanted[-1].number, now))
        for change in changes:
            self._tell(change)

    def _tell(self, change: StoreChange) -> None:
        match change:
            case MailboxMade(stored):
                name = stored.mailbox.hex()[:8]
                self._reporter.tell("mailbox_made", f"Mailbox {name} is new.", mailbox=stored.mailbox.hex())
            case MailboxRemoved(mailbox):
                text = f"Mailbox {mailbox.hex()[:8]} is gone: nobody polled it."
                self._reporter.tell("mailbox_removed", text, mailbox=mailbox.hex())
            case _:
                pass
