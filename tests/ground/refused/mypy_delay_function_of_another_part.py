# refused: Argument 2 to "Timer" has incompatible type "Callable[[Other], float]"; expected "Callable[[Thing], float]"
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.DUE, S.B, arm=(Timer(I.DUE, Other.pause),), ref="x"),))
