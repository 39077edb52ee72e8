"""One Bullet client: load bodies, step, snapshot and restore, contacts, cameras.

Besides this file only ``body.py``, ``cameras.py``, ``egl.py`` and ``lam_envs/robots`` use pybullet. A client
belongs to the process that made it: never make one before a fork, never share one between threads.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

import numpy as np
import pybullet_data

from lam_envs.bullet import egl
from lam_envs.bullet.bodies import Body, Color, Part
from lam_envs.bullet.cameras import Camera, Picture
from lam_envs.bullet.client import pybullet
from lam_envs.bullet.geometry import IDENTITY, Frame, Vector3
from lam_envs.bullet.ground import Plate, brightness_of_level, paint
from lam_envs.bullet.quiet import Silenced
from lam_envs.randomization import PhysicsScale

PHYSICS_HZ = 240
"""Physics steps a second: Bullet's own tuning rate."""
CONTROL_HZ = 20
"""Control (environment) steps a second."""
SUBSTEPS = PHYSICS_HZ // CONTROL_HZ

# Measured on the grasp of a 4 cm cube. Where the solver may stop at a residual of 1e-2 it stops too early, and one
# cube in eight is squeezed out of the hand; at 1e-5 none is, but a stack of two slides by 0.3 mm a second beside an
# idle arm, at 1e-7 by 0.1. A moving arm uses all iterations anyway. Beyond 20 nothing succeeds more often, and 30
# cost 12% of the speed; with 15 a held cube creeps twice as far, with 12 it trembles seven times as much.
SOLVER_ITERATIONS = 20
SOLVER_RESIDUAL = 1e-7
# What the hand presses onto the table is a hundred times lighter than the arm, and forces travel slowly through it;
# and what flies at 1.2 m/s is 5 mm inside what it hits after one step. There a physics step is divided: many short
# steps are more exact than many iterations (Macklin et al. 2019, "Small Steps in Physics Simulation"). Four parts of
# 80 iterations cost little more than one step of 200, which left penetrations of up to 30 mm.
FINENESS = 4
FINE_ITERATIONS = 80
# Share of a penetration that one physics step undoes. With Bullet's 0.2 what is pressed stays a little deeper in the
# table. With 0.9 what is squeezed is shot off at 2 m/s and is then up to 12 mm inside what it hits: of 12,000 steps
# that press 10 ended with more than 5 mm, with 0.7 none.
CONTACT_ERP = 0.7
# Of a part of a step. With 0.25 what is pressed stays deeper, with 0.5 what is squeezed is shot off.
FINE_CONTACT_ERP = 0.3
# The same of a joint that passed its stop. At Bullet's 0.2 a wrist that the table bends passes it by 0.024 radians,
# at 0.8 by 0.014.
JOINT_ERP = 0.8

Detail = Literal["physics", "fast", "full"]
"""What a client is for: to be stepped; to be drawn fast, with few polygons; to be drawn for people."""
Renderer = Literal["tiny", "egl"]
PIXEL_CENTER: dict[Renderer, tuple[float, float]] = {"tiny": (0.0, 1.0), "egl": (0.5, 0.5)}
"""Point of the first pixel that a renderer draws: distance from the left and the upper edge of the image, pixels."""
MarkerShape = Literal["box", "ball", "cylinder"]

DATA_PACKAGE = "package://pybullet_data"
LIGHT_DIRECTION = (0.6, -0.8, 1.6)
AMBIENT_LIGHT = 0.6
DIFFUSE_LIGHT = 0.35


class Simulation:
    """A Bullet world with gravity and no bodies.

    Args:
        detail: ``"physics"`` for the client that is stepped: collision shapes, no looks. ``"fast"`` and ``"full"``
            for one that is only drawn, with poses copied from a physics client: drawing then cannot change an
            episode, and an environment that is never rendered loads no meshes.
        physique: Factors on mass and friction of what can be moved.
        window: Open PyBullet's own window.
        renderer: What draws pictures: ``"tiny"``, PyBullet's own software renderer, or ``"egl"``, OpenGL on a GPU or
            on Mesa, without a display.

    Raises:
        RuntimeError: A window was asked for and there is no display, or EGL and there is none.
    """

    def __init__(
        self,
        detail: Detail = "physics",
        *,
        physique: PhysicsScale = PhysicsScale(),  # noqa: B008  (a tuple: nobody can change it)
        window: bool = False,
        renderer: Renderer = "tiny",
    ) -> None:
        if window and not _has_display():
            raise RuntimeError(
                "render_mode='human' opens a window, and there is no display (DISPLAY is not set). "
                "Use render_mode='rgb_array', or run under a virtual display: xvfb-run -a python ..."
            )
        self.detail = detail
        self.physique = physique
        if window:
            self.client = _open_window()
        else:
            self.client = pybullet.connect(pybullet.DIRECT)
        if self.client < 0:
            raise RuntimeError("Bullet made no client: it may have reached its limit of open clients.")
        if detail == "physics":
            # Comparing every pair of a dozen boxes costs less than keeping a tree of them: 5% of a step.
            pybullet.resetSimulation(pybullet.RESET_USE_SIMPLE_BROADPHASE, physicsClientId=self.client)
        self.opengl: AbstractContextManager[None] = contextlib.nullcontext()
        """Context for making, changing and drawing visible bodies. The methods of this class enter it themselves."""
        self._renderer, self._unshown = int(pybullet.ER_TINY_RENDERER), 0
        if renderer == "egl":
            # The plugin draws only bodies that were made after it was loaded.
            self.opengl = _load_egl(self.client)
            self._renderer, self._unshown = egl.RENDERER, egl.WARM_UP
        self._pid = os.getpid()
        # A client that is forgotten without close() would hold its memory for good.
        self._disconnect = weakref.finalize(
            self, _disconnect, self.client, self._pid, self.opengl, noisy=renderer == "egl"
        )
        self.bodies: dict[str, Body] = {}
        self._plates: dict[str, Plate] = {}
        self._snapshot: int | None = None
        self.moving: list[Body] = []
        """Those that forces move."""
        pybullet.setGravity(0.0, 0.0, -9.81, physicsClientId=self.client)
        pybullet.setPhysicsEngineParameter(
            solverResidualThreshold=SOLVER_RESIDUAL,
            # With it, Bullet's default, a joint more than 0.04 radians past its stop is never brought back.
            useSplitImpulse=0,
            deterministicOverlappingPairs=1,
            physicsClientId=self.client,
        )
        self._fineness = 0
        self.refine(1)
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
        """Adds a box.

        Args:
            name: How the scene calls it.
            size: Edge lengths, metres.
            position: Centre, metres.
            mass: Kilograms; 0 fixes it to the world.
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
        """Adds a body of several boxes, at most 16; see :meth:`add_box`. Its size is that of the first one."""
        shapes: dict[str, Any] = {
            "shapeTypes": [pybullet.GEOM_BOX] * len(parts),
            "halfExtents": [[edge / 2 for edge in part.size] for part in parts],
        }
        positions, turns = [part.position for part in parts], [part.orientation for part in parts]
        collision = pybullet.createCollisionShapeArray(
            **shapes, collisionFramePositions=positions, collisionFrameOrientations=turns, physicsClientId=self.client
        )
        visual = -1
        with self.opengl:
            if self.detail != "physics":
                visual = pybullet.createVisualShapeArray(
                    **shapes,
                    rgbaColors=[[*color, 1.0]] * len(parts),
                    visualFramePositions=positions,
                    visualFrameOrientations=turns,
                    physicsClientId=self.client,
                )
            body = self._add(name, self._mass(mass), collision, visual, position)
        body.size, body.color = parts[0].size, (*color, 1.0)
        self._rub(body, mass, friction)
        return body

    def add_ground(self, name: str, *, size: Vector3, position: Vector3, color: tuple[float, float, float]) -> None:
        """Adds a fixed box; fast pictures show only its top. Lower ones come first."""
        if self.detail != "fast" or self._renderer != pybullet.ER_TINY_RENDERER:
            self.add_box(name, size=size, position=position, color=color)
            return
        (x, y, z), (along, across, height) = position, size
        self.bodies[name] = Body(self.client, -1, size, (*color, 1.0))
        low, high = (x - along / 2, y - across / 2), (x + along / 2, y + across / 2)
        self._plates[name] = Plate(low, high, z + height / 2, color)

    def add_marker(self, name: str, *, size: Vector3, color: Color, shape: MarkerShape = "box") -> Body:
        """Adds something that is seen and never touched, to show a goal.

        Args:
            name: How the scene calls it.
            size: Edge lengths or diameters, metres.
            color: Red, green, blue, opacity in [0, 1].
            shape: ``"box"``, ``"ball"`` (of the first diameter) or an upright ``"cylinder"``.
        """
        if self.detail == "physics":
            self.bodies[name] = Body(self.client, -1, size, color)
            return self.bodies[name]
        kinds: dict[str, dict[str, Any]] = {
            "box": {"shapeType": pybullet.GEOM_BOX, "halfExtents": [edge / 2 for edge in size]},
            "ball": {"shapeType": pybullet.GEOM_SPHERE, "radius": size[0] / 2},
            "cylinder": {"shapeType": pybullet.GEOM_CYLINDER, "radius": size[0] / 2, "length": size[2]},
        }
        with self.opengl:
            visual = pybullet.createVisualShape(**kinds[shape], rgbaColor=color, physicsClientId=self.client)
            body = self._add(name, 0.0, -1, visual, (0.0, 0.0, 0.0))
        body.size, body.color = size, color
        return body

    def _mass(self, mass: float) -> float:
        return mass * self.physique.mass

    def _rub(self, body: Body, mass: float, friction: float) -> None:
        """Sets the friction of a body; what can be moved has that of its physique."""
        if mass > 0.0:
            friction *= self.physique.friction
        pybullet.changeDynamics(body.id, -1, lateralFriction=friction, physicsClientId=self.client)

    def _add(self, name: str, mass: float, collision: int, visual: int, position: Vector3) -> Body:
        number = pybullet.createMultiBody(
            mass,
            collision,
            visual,
            basePosition=position,
            # What is fixed is a plain rigid body, which makes steps 5% cheaper. What moves is not: placing a rigid
            # body leaves its inertia turned as it was before, and episodes would not repeat exactly.
            useMaximalCoordinates=mass == 0.0 and self.detail == "physics",
            physicsClientId=self.client,
        )
        body = self.bodies[name] = Body(self.client, number)
        if mass > 0.0:
            self.moving.append(body)
        return body

    def tint(self, name: str, change: Sequence[float]) -> None:
        """Draws a body in its colour with a change of red, green and blue."""
        body = self.bodies[name]
        red, green, blue = (min(max(own + more, 0.0), 1.0) for own, more in zip(body.color, change, strict=False))
        if name in self._plates:
            self._plates[name].color = (red, green, blue)
            return
        with self.opengl:
            pybullet.changeVisualShape(
                body.id, -1, rgbaColor=(red, green, blue, body.color[3]), physicsClientId=self.client
            )

    def load_urdf(self, path: Path, base: Vector3) -> int:
        """Loads a robot fixed to the world at ``base`` and returns Bullet's number of it.

        Meshes named ``package://pybullet_data/...`` are those of the installed PyBullet.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no robot description.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no robot description at {path}")
        text = path.read_text(encoding="utf-8")
        if DATA_PACKAGE not in text:
            return self._load_urdf(path, base)
        # Bullet looks for meshes in the folders above the description only, whatever search path it is given.
        with tempfile.TemporaryDirectory() as folder:
            resolved = Path(folder) / path.name
            resolved.write_text(text.replace(DATA_PACKAGE, escape(pybullet_data.getDataPath())), encoding="utf-8")
            return self._load_urdf(resolved, base)

    def _load_urdf(self, path: Path, base: Vector3) -> int:
        try:
            with self.opengl:
                return int(
                    pybullet.loadURDF(str(path), basePosition=base, useFixedBase=True, physicsClientId=self.client)
                )
        except pybullet.error as error:
            raise ValueError(f"{path.name} is no robot description that Bullet can read: {error}") from None

    # Time

    def step(self, substeps: int = SUBSTEPS) -> None:
        """Advances by physics steps, or parts of such (see :meth:`refine`); by default by those of a control step."""
        self._forget()
        advance: Callable[[int], Any] = pybullet.stepSimulation
        client = self.client
        for _ in range(substeps):
            advance(client)

    def refine(self, parts: int) -> None:
        """Divides physics steps into parts, or with 1 no longer.

        Motors must be told anew afterwards (``Robot.drive``): what they may do in a part is less.
        """
        if parts != self._fineness:
            self._fineness = parts
            pybullet.setPhysicsEngineParameter(
                fixedTimeStep=1.0 / (PHYSICS_HZ * parts),
                numSolverIterations=SOLVER_ITERATIONS if parts == 1 else FINE_ITERATIONS,
                contactERP=CONTACT_ERP if parts == 1 else FINE_CONTACT_ERP,
                erp=JOINT_ERP / parts,
                physicsClientId=self.client,
            )

    def _forget(self) -> None:
        """Has the next look at what can be moved read it again."""
        for body in self.moving:
            body.forget()

    def take_snapshot(self) -> None:
        """Remembers the settled scene, for :meth:`restore_snapshot`.

        One step comes first. A snapshot of a world that was never stepped does not restore exactly: after
        other episodes 19 of 20 seeds came out different, against none when it is taken after a step.
        """
        self.step(1)
        self._snapshot = pybullet.saveState(self.client)

    def restore_snapshot(self) -> None:
        """Returns the whole world, with its contact caches, to the snapshot."""
        self._forget()
        pybullet.restoreState(self._snapshot, physicsClientId=self.client)

    def refresh_contacts(self) -> None:
        """Finds the contacts of bodies that were just placed, without advancing time."""
        pybullet.performCollisionDetection(self.client)

    def around(self, body: Body, margin: float) -> set[int]:
        """Returns Bullet's numbers of what is near a body, and its own, by boxes along the axes.

        Args:
            body: Which.
            margin: How much larger its box is made on every side, metres.
        """
        (x, y, z), (far_x, far_y, far_z) = pybullet.getAABB(body.id, -1, self.client)
        low = (x - margin, y - margin, z - margin)
        high = (far_x + margin, far_y + margin, far_z + margin)
        return {number for number, _ in pybullet.getOverlappingObjects(low, high, self.client) or ()}

    # Pictures

    def copy_poses(self, source: Simulation) -> None:
        """Places every object and marker where it is in ``source``."""
        for name, body in self.bodies.items():
            if name in self._plates:
                continue
            original = source.bodies[name]
            if original.id < 0:
                pybullet.resetBasePositionAndOrientation(body.id, original.marker_position, IDENTITY, self.client)
            else:
                position, orientation = pybullet.getBasePositionAndOrientation(original.id, source.client)
                pybullet.resetBasePositionAndOrientation(body.id, position, orientation, self.client)

    def picture(
        self,
        camera: Camera,
        tool: Frame,
        width: int,
        height: int,
        *,
        light: Sequence[float] = (0.0, 0.0, 0.0),
        brightness: float = 1.0,
    ) -> Picture:
        """Draws what a camera sees.

        Args:
            camera: Which.
            tool: Where the tool is, for a camera on the hand.
            width: Pixels.
            height: Pixels.
            light: Added to the direction of the light.
            brightness: Factor on it.
        """
        view, projection = camera.matrices(tool, width / height)
        direction = [own + more for own, more in zip(LIGHT_DIRECTION, light, strict=True)]
        ambient, diffuse = AMBIENT_LIGHT * brightness, DIFFUSE_LIGHT * brightness
        draw = partial(
            pybullet.getCameraImage,
            width,
            height,
            viewMatrix=view,
            projectionMatrix=projection,
            # Shadows take a second pass over everything.
            shadow=int(self.detail == "full"),
            lightDirection=direction,
            lightAmbientCoeff=ambient,
            lightDiffuseCoeff=diffuse,
            renderer=self._renderer,
            flags=pybullet.ER_NO_SEGMENTATION_MASK,
            physicsClientId=self.client,
        )
        with self.opengl:
            if self._unshown:
                with Silenced():
                    for _ in range(self._unshown):
                        draw()
                self._unshown = 0
            _, _, drawn, distances, _ = draw()
        pixels = np.reshape(np.asarray(drawn, dtype=np.uint8), (height, width, 4))
        buffer = np.reshape(np.asarray(distances, dtype=np.float32), (height, width))
        if self._plates:
            level = brightness_of_level(direction, ambient, diffuse)
            paint(pixels, buffer, list(reversed(self._plates.values())), view, projection, level)
        return Picture(pixels, buffer, camera.near, camera.far)

    # End

    @property
    def belongs_to_this_process(self) -> bool:
        """False in a child process that was forked after the client was made."""
        return self._pid == os.getpid()

    def close(self) -> None:
        """Disconnects; a client of another process is left alone. Closing twice is fine."""
        self._disconnect()
        self.client = -1


def _open_window() -> int:
    """Connect to a new window.

    Raises:
        RuntimeError: This process has one already.
    """
    try:
        with Silenced():
            return int(pybullet.connect(pybullet.GUI))
    except pybullet.error:
        raise RuntimeError(
            "render_mode='human' opens one window in a process, and this process (or the one it was forked from) has "
            "one already. Close the environment that it belongs to, use render_mode='rgb_array', or start the "
            'process with "spawn".'
        ) from None


def _load_egl(client: int) -> AbstractContextManager[None]:
    try:
        return egl.load(client)
    except RuntimeError:
        if pybullet.isConnected(client):
            pybullet.disconnect(client)
        raise


def _disconnect(client: int, pid: int, opengl: AbstractContextManager[None], *, noisy: bool) -> None:
    if os.getpid() == pid and pybullet.isConnected(client):
        with opengl, Silenced() if noisy else contextlib.nullcontext():
            pybullet.disconnect(client)


def _has_display() -> bool:
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY"))
