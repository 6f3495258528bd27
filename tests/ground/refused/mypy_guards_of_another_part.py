# refused: Argument 1 to "take" of "Component" has incompatible type "Guards[Thing, S, bytes, None]"
from base import *

G = Guards.of(Thing, S, bytes, "data").give(I.LISTED)
def f(t: Other) -> None: t.take(G, b'')
