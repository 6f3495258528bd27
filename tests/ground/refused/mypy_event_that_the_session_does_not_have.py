# refused: Argument 1 to "emit" of "Host" has incompatible type "int"; expected "str"
from base import *

def f(t: Thing) -> None: t.host.emit(5)
