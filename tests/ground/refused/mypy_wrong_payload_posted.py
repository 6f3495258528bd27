# refused: Argument 1 to "__call__" of "Input" has incompatible type "bytes"; expected "int"
from base import *

I.COUNTED(b"x")
