# refused: Argument "when" to "Row" has incompatible type "Callable[[Thing, int], bool]"
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.LISTED, S.B, when=Thing.big, ref="x"),))
