"""The encoding engine: nested, leakage-safe encoding models for every electrode at once.

`fit.fit_analysis` runs one analysis; the other modules are its parts: `splits` (who trains, who
tests), `statistics` (one pass over the data), `ridge` and `elastic_net` (estimators), `lags`,
`scores`, `nulls` and `samples` (from cached files to rows).
"""
