"""Self-supervised pre-training of image encoders, from episodes without labels."""
