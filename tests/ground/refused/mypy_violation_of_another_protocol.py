# refused: incompatible type "Closed[Violation]"; expected "Closed[DenialReason]"
from base import *
from sansproto import bob, overte
from sansproto.events import Closed, CloseCause

def tell(event: Closed[overte.DenialReason]) -> None: ...
tell(Closed[bob.Violation](CloseCause.VIOLATION, bob.Violation.BAD_PACKET))
