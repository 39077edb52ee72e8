"""A Bullet client: bodies, physics steps, snapshots, contacts, camera images.

A client belongs to the process that made it: do not make one before a fork, and do not share one between threads.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from lam_envs.bullet import articulated, egl, solver
from lam_envs.bullet.articulated import ArticulatedBody, Joint
from lam_envs.bullet.bodies import (
    RGB,
    Body,
    Color,
    MarkerShape,
    MovingSurface,
    Part,
    box_shapes,
    marker_shape,
    shifted_color,
)
from lam_envs.bullet.cameras import Camera, CameraImage
from lam_envs.bullet.client import pybullet
from lam_envs.bullet.connection import connect, connect_physics, disconnect, load_egl, release
from lam_envs.bullet.geometry import Frame, Vector3
from lam_envs.bullet.ground import Plate, horizontal_brightness, paint
from lam_envs.bullet.quiet import SuppressOutput
from lam_envs.bullet.solver import PHYSICS_HZ
from lam_envs.bullet.urdf import load_urdf
from lam_envs.randomization import PhysicsScale

CONTROL_HZ = 20
"""Control (environment) steps per second."""
PHYSICS_STEPS = PHYSICS_HZ // CONTROL_HZ
"""Physics steps in a control step."""

Detail = Literal["physics", "fast", "full"]
"""Purpose of a client: physics; fast rendering with few polygons; full-detail rendering."""
Renderer = Literal["tiny", "egl"]
PIXEL_CENTER: dict[Renderer, tuple[float, float]] = {"tiny": (0.0, 1.0), "egl": (0.5, 0.5)}
"""Point of the first pixel that a renderer samples: distance from the left and upper edge of the image, pixels."""

LIGHT_DIRECTION = (0.6, -0.8, 1.6)
AMBIENT_LIGHT = 0.6
DIFFUSE_LIGHT = 0.35


class Simulation:
    """Bullet world with gravity and no bodies.

    Args:
        detail: ``"physics"`` for the client that is stepped: collision shapes only. ``"fast"`` and ``"full"`` for a
            client that only renders, with poses copied from a physics client: rendering then cannot change an
            episode, and an environment that is never rendered loads no meshes.
        physics_scale: Factors on mass and friction of movable objects.
        window: Open PyBullet's window; not for ``detail="physics"``.
        renderer: ``"tiny"``, PyBullet's software renderer, or ``"egl"``, OpenGL on a GPU or in software (Mesa),
            without a display.

    Raises:
        RuntimeError: A window was requested and there is no display, or EGL does not work here.
    """

    def __init__(
        self,
        detail: Detail = "physics",
        *,
        physics_scale: PhysicsScale = PhysicsScale(),  # noqa: B008  (a tuple cannot change)
        window: bool = False,
        renderer: Renderer = "tiny",
    ) -> None:
        self.detail = detail
        self.physics_scale = physics_scale
        self.client = connect_physics() if detail == "physics" else connect(window=window)
        self.opengl: AbstractContextManager[None] = contextlib.nullcontext()
        """Context for making, changing and rendering visible bodies. The methods of this class enter it."""
        self._renderer, self._warm_up = int(pybullet.ER_TINY_RENDERER), 0
        if renderer == "egl":
            # The plugin renders only bodies that were made after it was loaded.
            self.opengl = load_egl(self.client)
            self._renderer, self._warm_up = egl.RENDERER, egl.WARM_UP
        self._pid = os.getpid()
        # Without this, a client that is not closed keeps its memory.
        quiet = renderer == "egl"
        self._disconnect = weakref.finalize(self, disconnect, self.client, self._pid, self.opengl, quiet=quiet)
        self.bodies: dict[str, Body] = {}
        self._plates: dict[str, Plate] = {}
        self._snapshot: int | None = None
        self.dynamic_bodies: list[Body] = []
        """Rigid bodies that forces can move."""
        self.articulated: list[ArticulatedBody] = []
        """Bodies with joints."""
        self.moving_surfaces: list[MovingSurface] = []
        """Fixed bodies that drag what touches them."""
        solver.configure(self.client)
        self._substeps = 0
        self.set_substeps(1)
        if window:
            pybullet.configureDebugVisualizer(pybullet.COV_ENABLE_GUI, 0, physicsClientId=self.client)

    # Building

    def add_box(
        self,
        name: str,
        *,
        size: Vector3,
        position: Vector3,
        mass: float = 0.0,
        friction: float = 1.0,
        color: tuple[float, float, float] = (0.7, 0.7, 0.7),
    ) -> Body:
        """Add a box.

        Args:
            name: Name of the body in :attr:`bodies`.
            size: Edge lengths, meters.
            position: Position of the center, meters.
            mass: Mass, kilograms, before scaling; 0 fixes the box to the world.
            friction: Lateral friction coefficient.
            color: Red, green, blue in [0, 1].
        """
        return self.add_boxes(
            name, [Part(size, (0.0, 0.0, 0.0))], position=position, mass=mass, friction=friction, color=color
        )

    def add_boxes(
        self,
        name: str,
        parts: Sequence[Part],
        *,
        position: Vector3,
        mass: float = 0.0,
        friction: float = 1.0,
        color: tuple[float, float, float] = (0.7, 0.7, 0.7),
    ) -> Body:
        """Add a body of at most 16 boxes, see :meth:`add_box`. ``size`` of the body is that of the first box."""
        with self.opengl:
            collision, visual = box_shapes(self.client, parts, color, visible=self.detail != "physics")
            return self.add_body(
                name,
                collision,
                visual,
                size=parts[0].size,
                position=position,
                mass=mass,
                friction=friction,
                color=color,
            )

    def add_body(
        self,
        name: str,
        collision: int,
        visual: int,
        *,
        size: Vector3,
        position: Vector3,
        mass: float,
        friction: float,
        color: RGB,
    ) -> Body:
        """Add a body with shapes that exist in the client, see :meth:`add_box`; -1 is no visual shape."""
        body = self._add(name, mass * self.physics_scale.mass, collision, visual, position)
        body.size, body.color = size, (*color, 1.0)
        if mass > 0.0:
            friction *= self.physics_scale.friction
        pybullet.changeDynamics(body.id, -1, lateralFriction=friction, physicsClientId=self.client)
        return body

    def add_absent(self, name: str) -> None:
        """Add an absent object: a name in ``bodies``, without a body in Bullet."""
        self.register(name, Body(self.client, -1))

    def register(self, name: str, body: Body) -> None:
        """Add a body of Bullet to :attr:`bodies`. The other methods that add bodies do so.

        Raises:
            ValueError: There is a body of this name.
        """
        if name in self.bodies:
            raise ValueError(
                f"the simulation already has a body {name!r}; expected another name than {', '.join(self.bodies)}"
            )
        self.bodies[name] = body

    def add_articulated(
        self, name: str, base: Sequence[Part], joints: Sequence[Joint], *, color: RGB = (0.7, 0.7, 0.7)
    ) -> ArticulatedBody:
        """Add a body with joints, such as a drawer, whose base is fixed to the world.

        An initial state sets the pose of its base, see ``InitialState.joints``.

        Args:
            name: Name of the body in :attr:`bodies`.
            base: Boxes of the base, in its frame; at most 16.
            joints: The joints, a parent before its children.
            color: Color of the base: red, green, blue in [0, 1].
        """
        visible = self.detail != "physics"
        with self.opengl:
            body = articulated.create(self.client, base, joints, self.physics_scale, color=color, visible=visible)
        self.register(name, body)
        self.articulated.append(body)
        return body

    def add_ground(self, name: str, *, size: Vector3, position: Vector3, color: tuple[float, float, float]) -> None:
        """Add a fixed box of the ground, lower boxes first: ``detail="fast"`` paints only the tops, in this order."""
        if self.detail != "fast" or self._renderer != pybullet.ER_TINY_RENDERER:
            self.add_box(name, size=size, position=position, color=color)
            return
        (x, y, z), (along, across, height) = position, size
        self.register(name, Body(self.client, -1, size, (*color, 1.0)))
        low, high = (x - along / 2, y - across / 2), (x + along / 2, y + across / 2)
        self._plates[name] = Plate(low, high, z + height / 2, color)

    def add_marker(self, name: str, *, size: Vector3, color: Color, shape: MarkerShape = "box") -> Body:
        """Add a visual marker without collisions, such as for a goal.

        Args:
            name: Name of the marker in :attr:`bodies`.
            size: Edge lengths or diameters, meters.
            color: Red, green, blue, opacity in [0, 1].
            shape: ``"box"``, ``"ball"`` (with the first diameter) or an upright ``"cylinder"``.
        """
        if self.detail == "physics":
            body = Body(self.client, -1, size, color)
            self.register(name, body)
            return body
        with self.opengl:
            visual = marker_shape(self.client, size, color, shape)
            body = self._add(name, 0.0, -1, visual, (0.0, 0.0, 0.0))
        body.size, body.color = size, color
        return body

    def _add(self, name: str, mass: float, collision: int, visual: int, position: Vector3) -> Body:
        number = pybullet.createMultiBody(
            mass,
            collision,
            visual,
            basePosition=position,
            # A fixed body is a plain rigid body, which makes steps 5% faster. A movable one is not: setting the pose
            # of a rigid body does not rotate its inertia, and episodes would not repeat exactly.
            useMaximalCoordinates=mass == 0.0 and self.detail == "physics",
            physicsClientId=self.client,
        )
        body = Body(self.client, number)
        self.register(name, body)
        if mass > 0.0:
            self.dynamic_bodies.append(body)
        return body

    def set_color_offset(self, name: str, offset: Sequence[float]) -> None:
        """Add an offset in red, green and blue to the color of a body."""
        body = self.bodies[name]
        if name in self._plates:
            self._plates[name].color = shifted_color(body.color[:3], offset)
        elif body.id >= 0:
            with self.opengl:
                body.set_color_offset(offset)

    def load_urdf(self, path: Path, base: Vector3, lengthened: Mapping[str, float]) -> int:
        """Load a robot, see :func:`lam_envs.bullet.urdf.load_urdf`."""
        with self.opengl:
            return load_urdf(self.client, path, base, lengthened, visible=self.detail != "physics")

    # Stepping

    def step(self, count: int = PHYSICS_STEPS) -> None:
        """Advance by a number of physics steps (substeps after :meth:`set_substeps`); by default one control step."""
        self._invalidate_motions()
        advance: Callable[[int], object] = pybullet.stepSimulation
        client = self.client
        for _ in range(count):
            for body in self.articulated:
                body.apply_springs()
            advance(client)
            for surface in self.moving_surfaces:
                surface.hold()

    def set_substeps(self, substeps: int) -> None:
        """Divide physics steps into equal substeps; 1 restores whole steps.

        Call ``Robot.set_motor_targets`` afterwards: the gains of the motors depend on the number of substeps.
        """
        if substeps != self._substeps:
            self._substeps = substeps
            solver.set_substeps(self.client, substeps)
            for body in self.articulated:
                body.set_friction()

    def _invalidate_motions(self) -> None:
        """Discard the cached motions of movable bodies."""
        for body in self.dynamic_bodies:
            body.invalidate()

    def take_snapshot(self) -> None:
        """Save the state of the world for :meth:`restore_snapshot`, after one step.

        A snapshot of a world that was never stepped does not restore exactly: after other episodes, 19 of 20 seeds
        gave a different episode, and none when the snapshot was taken after a step.
        """
        self.step(1)
        self._snapshot = pybullet.saveState(self.client)

    def restore_snapshot(self) -> None:
        """Restore the snapshot, including the contact caches."""
        self._invalidate_motions()
        pybullet.restoreState(self._snapshot, physicsClientId=self.client)

    def refresh_contacts(self) -> None:
        """Compute the contacts of bodies whose pose was set, without advancing time."""
        pybullet.performCollisionDetection(self.client)

    def bodies_near(self, body: Body, margin: float, link: int = -1) -> set[int]:
        """Return PyBullet's ids of the bodies near a body, including itself, by axis-aligned bounding boxes.

        Args:
            body: The body.
            margin: Margin around its bounding box on every side, meters.
            link: Number of a link of an articulated body; -1 for its base.
        """
        (x, y, z), (far_x, far_y, far_z) = pybullet.getAABB(body.id, link, self.client)
        low = (x - margin, y - margin, z - margin)
        high = (far_x + margin, far_y + margin, far_z + margin)
        return {number for number, _ in pybullet.getOverlappingObjects(low, high, self.client) or ()}

    # Rendering

    def copy_poses(self, source: Simulation) -> None:
        """Copy the poses of all objects and markers from another simulation."""
        for name, body in self.bodies.items():
            if body.id >= 0:
                body.copy_pose(source.bodies[name])

    def render_camera(
        self,
        camera: Camera,
        tool: Frame,
        width: int,
        height: int,
        *,
        light: Sequence[float] = (0.0, 0.0, 0.0),
        brightness: float = 1.0,
    ) -> CameraImage:
        """Render the image of a camera.

        Args:
            camera: The camera.
            tool: Pose of the tool, for a camera on the hand.
            width: Width of the image, pixels.
            height: Height of the image, pixels.
            light: Offset of the direction of the light.
            brightness: Factor on the light.
        """
        view, projection = camera.matrices(tool, width / height)
        direction = [component + delta for component, delta in zip(LIGHT_DIRECTION, light, strict=True)]
        ambient, diffuse = AMBIENT_LIGHT * brightness, DIFFUSE_LIGHT * brightness
        render = partial(
            pybullet.getCameraImage,
            width,
            height,
            viewMatrix=view,
            projectionMatrix=projection,
            # Shadows need a second rendering pass.
            shadow=int(self.detail == "full"),
            lightDirection=direction,
            lightAmbientCoeff=ambient,
            lightDiffuseCoeff=diffuse,
            renderer=self._renderer,
            flags=pybullet.ER_NO_SEGMENTATION_MASK,
            physicsClientId=self.client,
        )
        with self.opengl:
            if self._warm_up:
                with SuppressOutput():
                    for _ in range(self._warm_up):
                        render()
                self._warm_up = 0
            _, _, colors, depths, _ = render()
        pixels = np.reshape(np.asarray(colors, dtype=np.uint8), (height, width, 4))
        buffer = np.reshape(np.asarray(depths, dtype=np.float32), (height, width))
        if self._plates:
            ground_brightness = horizontal_brightness(direction, ambient, diffuse)
            paint(pixels, buffer, list(reversed(self._plates.values())), view, projection, ground_brightness)
        return CameraImage(pixels, buffer, camera.near, camera.far)

    # Closing

    @property
    def belongs_to_this_process(self) -> bool:
        """True in the process that made the client, and False in a fork of it."""
        return self._pid == os.getpid()

    def close(self) -> None:
        """Disconnect the client if it belongs to this process. Can be called twice."""
        self._disconnect()
        self.client = -1

    def release(self) -> None:
        """Close a simulation of ``detail="physics"``, and leave its client to the one that replaces it."""
        if self._disconnect.detach():
            release(self.client, self._pid)
        self.client = -1
