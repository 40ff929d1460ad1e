export { decodeGreeting, decodeSessionMessage, encodeGreeting } from "./messages.ts";
export { Session, type SessionInput, type SessionOutput } from "./session.ts";
