"""The runner of suites: jobs, cache keys, results."""
