"""Agents trained with lam-envs. ``agents.load_pretrained`` loads them; ``SHA256SUMS`` lists their checksums."""
