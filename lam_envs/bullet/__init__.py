"""All use of PyBullet: client, simulation, bodies, cameras, EGL rendering."""
