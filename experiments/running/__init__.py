"""How a run is kept, ends, goes on, and where it runs."""
