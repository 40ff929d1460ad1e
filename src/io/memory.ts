/** A new buffer, not zeroed: for bytes of which all will be written before anybody reads them. */
export function unwrittenBuffer(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
}
