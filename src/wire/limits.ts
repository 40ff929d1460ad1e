/** The longest payload of a frame, and of a message before compression and after reassembly: 16 MiB, inclusive. */
export const payloadMaxBytes = 0x100_0000;

/** How many messages a sender may have begun and not finished on one stream; a receiver takes at least so many. */
export const interleavedMax = 8;
