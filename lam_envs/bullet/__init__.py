"""Everything that knows Bullet: client, simulation, bodies, cameras, EGL."""
