# refused: Argument 4 to "Row" has incompatible type "Callable[[Other, bytes], None]"
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.LISTED, S.B, Other.poke, ref="x"),))
