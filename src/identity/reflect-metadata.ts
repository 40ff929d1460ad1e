// `@peculiar/x509` depends on tsyringe, which refuses to load where decorator metadata (`Reflect.getMetadata`) is
// missing, though nothing we use needs any. The usual answer is a polyfill for the whole process; a library should not
// do that to the program it is part of. So: empty functions while the library loads, gone once it is there.

type Reflection = Record<string, unknown>;

const reflection = Reflect as unknown as Reflection;
const methods = {
  getMetadata: (): undefined => undefined,
  getOwnMetadata: (): undefined => undefined,
  defineMetadata: (): void => {},
};
const installed = reflection["getMetadata"] === undefined;
if (installed) Object.assign(reflection, methods);

/** Puts `Reflect` back as it was; to be called when the library is loaded. */
export function removeReflectMetadata(): void {
  if (!installed) return;
  for (const [name, method] of Object.entries(methods)) {
    if (reflection[name] === method) delete reflection[name];
  }
}
