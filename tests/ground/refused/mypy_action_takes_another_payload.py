# refused: Argument 5 to "Row" has incompatible type "Callable[[Thing, int], None]"; expected "Callable[[Thing, bytes], None] | Callable[[Thing], None]"
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.LISTED, S.B, Thing.bump, Thing.count, ref="x"),))
