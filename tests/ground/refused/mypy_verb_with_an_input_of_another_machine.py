# refused: Argument 1 to "asked" of "Component" has incompatible type "Happened[S2]"; expected "Happened[S]"
from base import *

def f(s: Session[str], t: Thing) -> None: s.verb('other', 0.0, t.asked(I2.OTHER(b'')))
