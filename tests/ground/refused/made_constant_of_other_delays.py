# refused: ValueError: t: DUE is after <member 'resend' of 'OtherDelays' objects>
from base import *

class T:
    DUE = Timer(I.DUE, OtherDelays.resend)
Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.DUE, arm=(T.DUE,), ref="x"),))
