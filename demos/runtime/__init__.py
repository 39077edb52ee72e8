"""Jobs and engines, files, and helpers of command lines, for all packages."""
