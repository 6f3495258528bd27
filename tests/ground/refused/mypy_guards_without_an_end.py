# refused: Argument 1 to "take" of "Component" has incompatible type "Guards[Thing, S, bytes, int]"; expected "Guards[Any, S, bytes, None]"
from base import *

G = Guards.of(Thing, S, bytes, "data").make(Thing.parse, 'no', ref='x')
def f(t: Thing) -> None: t.take(G, b'')
