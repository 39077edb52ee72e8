"""The commands of ``python -m demos``, a file for each thing that one wants to do."""
