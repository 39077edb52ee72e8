"""Parameters of Bullet's constraint solver."""

from __future__ import annotations

from lam_envs.bullet.client import pybullet

PHYSICS_HZ = 240
"""Physics steps per second: the rate that Bullet is tuned for."""

# Measured on the grasp of a 4 cm cube. With a residual of 1e-2 the solver stops too early, and one cube in eight is
# squeezed out of the hand; with 1e-5 none is, but a stack of two slides by 0.3 mm per second beside an idle arm, with
# 1e-7 by 0.1 mm. While the arm moves, the solver uses all iterations anyway. More than 20 iterations do not raise the
# success rate, and 30 cost 12% of the speed; with 15 a held cube drifts twice as far, with 12 it jitters seven times
# as much.
SOLVER_ITERATIONS = 20
SOLVER_RESIDUAL = 1e-7
# What the hand presses onto the table is a hundred times lighter than the arm, so forces propagate slowly through it;
# and an object that flies at 1.2 m/s is 5 mm inside of what it hits after one step. Then substeps are used:
# many short steps are more exact than many iterations (Macklin et al. 2019, "Small Steps in Physics Simulation").
# Four substeps of 80 iterations cost little more than one step of 200, which left penetrations of up to 30 mm.
SUBSTEPS = 4
FINE_ITERATIONS = 80
# Fraction of a penetration that one physics step corrects. With Bullet's 0.2 pressed objects stay a little deeper in
# the table. With 0.9 squeezed objects are ejected at 2 m/s and are then up to 12 mm inside of what they hit: of
# 12,000 steps that press, 10 ended with more than 5 mm, with 0.7 none.
CONTACT_ERP = 0.7
# The same for a substep. With 0.25 pressed objects stay deeper, with 0.5 squeezed objects are ejected.
FINE_CONTACT_ERP = 0.3
# The same for a joint beyond its limit. With Bullet's 0.2 a wrist that the table bends exceeds its limit by 0.024
# radians, with 0.8 by 0.014.
JOINT_ERP = 0.8


def configure(client: int) -> None:
    """Set gravity and the parameters that never change."""
    pybullet.setGravity(0.0, 0.0, -9.81, physicsClientId=client)
    pybullet.setPhysicsEngineParameter(
        solverResidualThreshold=SOLVER_RESIDUAL,
        # With split impulses, Bullet's default, a joint more than 0.04 radians beyond its limit never returns.
        useSplitImpulse=0,
        deterministicOverlappingPairs=1,
        physicsClientId=client,
    )


def set_substeps(client: int, substeps: int) -> None:
    """Divide physics steps into equal substeps; 1 restores whole steps."""
    pybullet.setPhysicsEngineParameter(
        fixedTimeStep=1.0 / (PHYSICS_HZ * substeps),
        numSolverIterations=SOLVER_ITERATIONS if substeps == 1 else FINE_ITERATIONS,
        contactERP=CONTACT_ERP if substeps == 1 else FINE_CONTACT_ERP,
        erp=JOINT_ERP / substeps,
        physicsClientId=client,
    )
