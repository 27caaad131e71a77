"""What all workers share and every call needs: the key snapshot, counters, reservations, owned objects."""
