"""Deep Q-learning from Demonstrations (Hester et al. 2018), one subject a file.

``replay`` remembers transitions and draws those that surprise most; ``losses`` are the equations; ``policy`` is the
network; ``agent`` puts them together.
"""
