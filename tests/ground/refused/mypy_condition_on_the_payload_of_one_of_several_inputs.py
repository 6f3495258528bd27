# refused: Argument "when" to "Row" has incompatible type "Callable[[Thing, int], bool]"; expected "Callable[[Thing, bytes | None], bool] | Callable[[Thing], bool] | None"
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.LISTED | I.DUE, S.B, when=Thing.big, ref="x"),))
