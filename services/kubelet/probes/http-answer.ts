/**
 * Reads the answer to a GET as it comes (RFC 9112), as far as probes need it: the status, where it sends the client,
 * and the beginning of the body. Each byte is looked at once: servers that drip cost no more than others.
 */
import { type BodyReader, bodyReader } from './http-body.ts';

/** An answer: status, the beginning of the body, and where it sends the client. */
export interface Answer {
  status: number;
  body: string;
  location: string | undefined;
}

/** Reads one answer from what a connection delivers. */
export interface AnswerReader {
  /** Takes what came; it may be overwritten afterwards. @returns the answer when it is whole. @throws Error */
  take(bytes: Buffer): Answer | undefined;
  /** The connection has ended. @returns the answer. @throws Error when it is not whole. */
  end(): Answer;
  /** Whether status and headers have come. */
  hasHead(): boolean;
}

/** Bytes of status line and headers after which a server is not listened to any more. */
const maxHead = 64 * 1024;
const broken = 'net/http: HTTP/1.x transport connection broken';

interface Head {
  status: number;
  location: string | undefined;
  body: BodyReader;
}

/** Makes a reader. */
export function answerReader(): AnswerReader {
  let head: Head | undefined;
  let text = headText();
  const answer = ({ status, location, body }: Head): Answer => ({ status, location, body: body.text() });
  return {
    take(bytes) {
      let rest = bytes;
      while (head === undefined) {
        const after = text.take(rest);
        if (after === undefined) return undefined;
        const next = parseHead(text.whole());
        rest = rest.subarray(after);
        text = headText();
        // An interim answer; 101 would be another protocol on this connection, so it is the last.
        if (next.status < 100 || next.status >= 200 || next.status === 101) head = next;
      }
      return head.body.take(rest) ? answer(head) : undefined;
    },
    end() {
      if (head === undefined) throw new Error(text.isEmpty() ? 'EOF' : 'unexpected EOF');
      if (!head.body.mayEnd) throw new Error('unexpected EOF');
      return answer(head);
    },
    hasHead: () => head !== undefined,
  };
}

/** Gathers status line and headers up to the empty line; lines end with LF, mostly after a CR. */
function headText() {
  const parts: Buffer[] = [];
  let size = 0;
  let lineIsEmpty = false;
  return {
    isEmpty: () => size === 0,
    whole: () => Buffer.concat(parts).toString('latin1').trimEnd(),
    /** @returns how many of the bytes belonged to it, when that was all. */
    take(bytes: Buffer): number | undefined {
      for (let at = 0; at < bytes.length; at++) {
        if (bytes[at] === 10 && lineIsEmpty) {
          parts.push(bytes.subarray(0, at));
          return at + 1;
        }
        if (bytes[at] === 10) lineIsEmpty = true;
        else if (bytes[at] !== 13) lineIsEmpty = false;
      }
      parts.push(Buffer.from(bytes));
      size += bytes.length;
      if (size > maxHead)
        throw new Error(`net/http: server response headers exceeded ${maxHead} bytes; aborted`);
      return undefined;
    },
  };
}

/** @throws Error for what is no HTTP, in the original's words. */
function parseHead(text: string): Head {
  const [first = '', ...lines] = text.split('\n').map((line) => line.replace(/\r$/, ''));
  const status = /^HTTP\/\d\.\d (\d{3})(?: |$)/.exec(first)?.[1];
  if (status === undefined) throw new Error(`${broken}: malformed HTTP response ${JSON.stringify(first)}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon < 1) throw new Error(`${broken}: malformed MIME header line: ${line}`);
    const name = line.slice(0, colon).toLowerCase();
    if (!headers.has(name)) headers.set(name, line.slice(colon + 1).trim());
  }
  return { status: Number(status), location: headers.get('location'), body: bodyOf(Number(status), headers) };
}

/** RFC 9112, 6.3: how the body ends. */
function bodyOf(status: number, headers: ReadonlyMap<string, string>): BodyReader {
  if (status < 200 || status === 204 || status === 304) return bodyReader(0);
  if (headers.get('transfer-encoding')?.toLowerCase() === 'chunked') return bodyReader('chunked');
  const length = headers.get('content-length');
  if (length === undefined) return bodyReader('until the end');
  if (!/^\d+$/.test(length)) throw new Error(`${broken}: bad Content-Length ${JSON.stringify(length)}`);
  return bodyReader(Number(length));
}
