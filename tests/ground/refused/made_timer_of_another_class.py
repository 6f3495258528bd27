# refused: ValueError: t: an input or timer of 'x' stands in another class
from base import *

Table[Thing, S](Thing, I, T, name="t", page="x", initial=S.A, idle={}, defaults=LATE, rows=(Row(S.A, I.DUE, arm=(Timer(I.DUE, Delays.resend),), ref="x"),))
