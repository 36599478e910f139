/** albert similarity: how close other texts are to a first one. */
import type { Command } from 'commander';
import { type ModelFlags, printJson, printTable, score, textGroups, verb, withPipeline } from './shared';

export function addSimilarity(program: Command): void {
  verb(program, 'similarity <text> [others...]', 'compare a text with others, closest first', [
    "albert similarity --model ./paraphrase-albert-small-v2 'A dog barks.' 'A hound howls.' 'It rains.'",
    "albert similarity --model ./paraphrase-albert-small-v2 'A dog barks.' --file others.txt",
  ]).action(async (text: string, others: string[], flags: ModelFlags) => {
    await withPipeline('sentence-similarity', flags, async (pipe) => {
      const found: { text: string; similarity: number }[] = [];
      for await (const group of textGroups(others, flags.file)) {
        const similarities = await pipe(text, group);
        group.forEach((other, i) => found.push({ text: other, similarity: similarities[i] }));
      }
      found.sort((a, b) => b.similarity - a.similarity);
      if (flags.json) found.forEach(printJson);
      else printTable(found.map((other) => [score(other.similarity), other.text]));
    });
  });
}
