"""Reports: a page of HTML that says what a run, or several, came to."""
