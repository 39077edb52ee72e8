"""Deep Q-learning from Demonstrations (Hester et al. 2018), one subject a file.

``replay`` is the prioritized replay buffer; ``losses`` are the equations; ``policy`` is the network; ``agent``
combines them.
"""
