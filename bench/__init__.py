"""The comparison: Portico beside its peers, same mock upstream, same load, same minute. Start with `run.py`."""
