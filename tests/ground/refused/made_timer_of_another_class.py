# refused: ValueError: t: row A x DUE: a timer stands in another class
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.DUE, arm=(Timer(I.DUE, Delays.resend),), ref="x"),))
