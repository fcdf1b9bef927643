"""The estimators' arithmetic: nested fits and refits on arrays."""
