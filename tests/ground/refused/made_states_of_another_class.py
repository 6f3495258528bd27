# refused: ValueError: t: Other does not have the states S
from base import *

Table[Other, S](Other, I, name="t", initial=S.A, idle={}, defaults=LATE, rows=())
