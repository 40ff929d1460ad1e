export { decodeGreeting, decodeSessionMessage, encodeGreeting, sessionHeaderBytes } from "./messages.ts";
export { Session, type SessionInput, type SessionOutput } from "./session.ts";
