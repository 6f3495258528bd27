# refused: Argument 5 to "Row" has incompatible type "Callable[[Thing, bytes], None]"; expected "Callable[[Thing, bytes | int], None] | Callable[[Thing], None]"
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.LISTED | I.COUNTED, S.B, Thing.bump, Thing.adopt, ref="x"),))
