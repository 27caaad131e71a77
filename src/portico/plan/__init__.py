"""Where a call may go and why: call, configuration, health, prices, clock and draw in, ordered targets out. Pure."""
