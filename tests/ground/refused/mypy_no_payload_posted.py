# refused: Missing positional argument "payload" in call to "__call__" of "Input"
from base import *

I.COUNTED()
