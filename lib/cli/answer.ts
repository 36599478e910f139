/** albert answer: the passage of a text that answers a question. */
import type { Command } from 'commander';
import {
  type ModelFlags,
  positive,
  printJson,
  printTable,
  score,
  verb,
  wholeText,
  withPipeline,
} from './shared';

export function addAnswer(program: Command): void {
  verb(program, 'answer <question> [context]', 'answer a question from a text of any length', [
    "albert answer --model ./albert-squad 'Who wrote it?' 'The novel was written by Mary Shelley.'",
    "albert answer --model ./albert-squad 'Who wrote it?' --file article.txt --top-k 3",
  ])
    .option('-k, --top-k <count>', 'answers to print', positive, 1)
    .option('--max-answer-length <tokens>', 'of an answer at most', positive, 15)
    .option(
      '--doc-stride <tokens>',
      'that neighbouring windows of a long text share; default: 128, fewer in short windows',
      positive,
    )
    .option('--impossible', 'allow the empty answer where the text holds none')
    .action(
      async (
        question: string,
        context: string | undefined,
        flags: ModelFlags & {
          topK: number;
          maxAnswerLength: number;
          docStride?: number;
          impossible?: boolean;
        },
      ) => {
        const text = await wholeText(context, flags.file);
        await withPipeline('question-answering', flags, async (pipe) => {
          const options = {
            top_k: flags.topK,
            max_answer_len: flags.maxAnswerLength,
            doc_stride: flags.docStride,
            handle_impossible_answer: flags.impossible ?? false,
          };
          const answers = [await pipe(question, text, options)].flat();
          if (flags.json) answers.forEach(printJson);
          else printTable(answers.map((answer) => [score(answer.score), answer.answer || '(no answer)']));
        });
      },
    );
}
