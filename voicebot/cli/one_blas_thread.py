"""Imported before numpy: its matrix products stay on the thread that asks for them.

OpenBLAS would share each of the router's products of a few microseconds among all cores, wait until the last of them
is scheduled and then spin for another 25 ms. Measured on two busy cores: 24 ms of wall and of CPU time for one route,
on the event loop; alone 0.35 ms. Training on 200 lines takes 2.6 s on one thread and 1.8 on two quiet cores, but 4.2
and 22.9 s where two other programs work.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
