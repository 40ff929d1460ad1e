import { atom, type Term, Tuple, tuple } from "../../etf/index.ts";
import { GenServer, type Reply } from "../../process/index.ts";

const isAuth = atom("is_auth");
const yes = atom("yes");
const error = atom("error");
const notsup = atom("notsup");

/** OTP's process `net_kernel`, as far as other nodes talk to it: `net_adm:ping/1` asks it whether they may. */
export class NetKernel extends GenServer {
  override handleCall(request: Term): Reply {
    // Whoever can ask knows the cookie.
    if (request instanceof Tuple && request.elements[0] === isAuth) return yes;
    return tuple(error, notsup);
  }

  override handleCast(): void {
    // Nothing that this node does.
  }
}
