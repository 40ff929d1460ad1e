export { Mdns, type MdnsOptions } from "./mdns.ts";
