# refused: Argument 1 to "post" of "Component" has incompatible type "Happened[S2]"; expected "Happened[S]"
from base import *

def f(t: Thing) -> None: t.post(I2.OTHER(b"x"))
