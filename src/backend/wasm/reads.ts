// What is read of the memory, and the arrays that it goes to.

/** What an engine gives a fresh array at a time. */
const pageBytes = 4096;
/** Arrays shorter than this an engine has at hand. */
const freshBytes = 16 * pageBytes;

export interface Waiting<T = Uint8Array<ArrayBuffer>> {
  resolve(data: T): void;
  reject(error: Error): void;
}

/** What is read, into an array that begins with `room` bytes of nothing. */
export interface Range {
  /** address */
  readonly from: number;
  readonly bytes: number;
  readonly room: number;
  /** the array, if there is one: of any length that is enough */
  readonly into?: Uint8Array<ArrayBuffer>;
}

/** Bytes that can be read where they are, as nothing was asked for since. */
export interface Open extends Range, Waiting {
  readonly data: Uint8Array<ArrayBuffer>;
  /** Memory for a copy, if there is some: kept from the beginning, since what other reads look at may be freed meanwhile. */
  readonly to: number | undefined;
}

/** Bytes that the first thread copies, when it comes to it, to where nothing changes them. */
export interface Copied extends Open {
  readonly to: number;
  /** there when the first thread has come so far */
  readonly position: number;
}

export const arrayFor = ({ room, bytes, into }: Range): Uint8Array<ArrayBuffer> =>
  into ? into.subarray(0, room + bytes) : fresh(room + bytes);

/** An array whose pages are there. An engine asks the system for a large array's pages when they are first touched, which takes longer than
 *  to copy them: done while others compute. */
function fresh(bytes: number): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(bytes);
  if (bytes >= freshBytes) for (let at = 0; at < bytes; at += pageBytes) data[at] = 0;
  return data;
}
