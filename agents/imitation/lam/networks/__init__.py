"""Networks of the agent ``lam``, and the minibatches that they are trained on."""
