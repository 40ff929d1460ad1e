/** What records of the directory are about: the first byte of each. Its users have one number each, so that no two meet under one key. */
export const directoryKind = { name: 1 } as const;
