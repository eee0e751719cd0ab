from ff_storage.core._flat import *
