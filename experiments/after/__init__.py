"""After a run: reading it back, printing, reporting, predicting and exporting."""
