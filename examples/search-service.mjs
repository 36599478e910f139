// A service that finds the lines of a text file nearest in meaning to a query.
//
//     node examples/search-service.mjs FILE [MODEL [PORT]]
//     curl 'localhost:8000/?q=a+few+words&k=3'
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { pipeline } from 'albert-native';

const [file, source = 'albert-mini-en', port = '8000'] = process.argv.slice(2);
const DEADLINE = 2000; // milliseconds of an answer
const MOST_AT_ONCE = 100; // requests under way; one more is asked to come again
const STATUS_OF = { INVALID_ARGUMENT: 400, ABORTED: 504 };

const lines = readFileSync(file, 'utf8')
  .split('\n')
  .filter((line) => line.trim());
const embed = await pipeline('feature-extraction', source);
const OPTIONS = { pooling: 'sentence', normalize: true, max_length: 128 };
const vectors = await embed(lines, OPTIONS); // [lines, width]

function nearest(query, count) {
  const scored = lines.map((line, i) => ({
    score: vectors.row(i).reduce((sum, x, d) => sum + x * query[d], 0),
    line,
  }));
  return scored.sort((a, b) => b.score - a.score).slice(0, count);
}

let underWay = 0;
async function answer(request, response) {
  const { searchParams } = new URL(request.url, 'http://localhost');
  const text = searchParams.get('q');
  if (!text) return [400, { error: 'expected a query: /?q=a+few+words' }];
  if (underWay >= MOST_AT_ONCE) return [503, { error: 'too many requests at once; come again' }];
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  ++underWay;
  try {
    const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(DEADLINE)]);
    const query = await embed(text, { ...OPTIONS, signal });
    return [200, nearest(query.row(0), Number(searchParams.get('k') ?? 3))];
  } catch (error) {
    const status = STATUS_OF[error.code];
    if (!status) throw error;
    return [status, { error: error.message }];
  } finally {
    --underWay;
  }
}

const server = createServer((request, response) => {
  answer(request, response)
    .catch((error) => (console.error(error), [500, { error: 'internal error' }]))
    .then(([status, body]) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
    );
});
server.listen(Number(port), () => console.log(`${lines.length} lines on port ${server.address().port}`));

// What is under way is answered first.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => server.close(() => embed.dispose()));
