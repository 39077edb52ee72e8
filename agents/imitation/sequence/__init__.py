"""Agents that remember and plan: recurrent, chunked and generative policies, trained by imitation."""
