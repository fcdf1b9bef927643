"""What the rules need of Python: which jobs there are, where their files lie, how they run."""
