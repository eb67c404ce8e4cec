/** Puts a prefix before each line of a stream, so that several logs can share a terminal. */
import { Transform } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** A transform that passes whole lines on, each with `prefix`; an unfinished last line gets its newline. */
export function prefixer(prefix: string): Transform {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  const take = (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    return lines.map((line) => `${prefix}${line}\n`).join('');
  };
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      done(null, take(decoder.write(chunk)));
    },
    flush(done) {
      const lines = take(decoder.end());
      done(null, rest === '' ? lines : `${lines}${prefix}${rest}\n`);
    },
  });
}
