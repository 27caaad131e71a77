"""What time it is, by the two clocks that state goes by."""

import time
from time import clock_gettime_ns, time_ns
from typing import Final

from portico.state.contract import Moment

_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS's monotonic clock counts its sleep too


def moment() -> Moment:
    """Return the present."""
    return Moment(clock_gettime_ns(_BOOT), time_ns())
