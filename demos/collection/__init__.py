"""Collection of demonstrations: demonstrators, recording, replay and video."""
