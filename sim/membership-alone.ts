import type { SwimOptions } from "../src/swim/index.ts";
import { membershipScenarios } from "./membership.ts";
import { Mesh, type MeshSetup } from "./mesh.ts";
import { SwimHost } from "./swim-host.ts";

/** A simulated mesh of membership alone. */
export function swimMesh(setup: MeshSetup, options?: SwimOptions): Mesh<SwimHost> {
  return new Mesh(
    setup,
    (context, given) => new SwimHost(context, { ...given, ...(options === undefined ? {} : { options }) }),
  );
}

/** The scenarios of membership alone: a tenth of the work of whole nodes. */
export const alone = membershipScenarios({
  make: (setup) => swimMesh(setup),
  settled: () => undefined,
  crashesMax: 100,
  mayErrWhenParted: false,
  isWhole: () => true,
  figures: () => ({}),
  failures: () => [],
});
