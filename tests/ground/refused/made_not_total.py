# refused: ValueError: t: neither row nor default for S.A, LISTED
from base import *

Table[Thing, S](Thing, I, T, name="t", initial=S.A, idle={}, defaults=(), rows=(Row(S.A, I.DUE, when=Thing.ready, ref="x"),))
