/** How the batch tells a stream that it is full. */
export const blocked = Symbol("blocked");
/** How the core passes an event to a connection. */
export const dispatch = Symbol("dispatch");
