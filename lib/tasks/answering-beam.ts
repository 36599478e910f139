/** Answers by the ALBERT release's own head for SQuAD 2.0: ends that see their start, and a class for questions without an answer. */
import {
  answering,
  type AnswerPrediction,
  type Candidate,
  findAnswers,
  isSpan,
  type Window,
} from './answering';
import type { AnsweringExample, Kind } from './task';

const plain = answering(true);

/** Windows and scores are those of the plain head; no answer is what the class says, whatever the spans score. */
export const answeringByBeam: Kind<AnsweringExample, Window, AnswerPrediction> = {
  ...plain,
  head: 'question-answering-beam',
  batch: (windows, examples) => {
    const inputs = plain.batch(windows, examples);
    const starts = Array.from(inputs.start_positions!);
    return { ...inputs, is_impossible: starts.map((start) => Number(start === 0)) };
  },
  async predict(model, windows, examples, { signal, onProgress, maxAnswerLength = 30, bestCount = 20 }) {
    const outputs = [
      'start_top_log_probs',
      'start_top_index',
      'end_top_log_probs',
      'end_top_index',
      'cls_logits',
    ];
    const found = await findAnswers(
      model,
      windows,
      examples,
      { outputs, signal, onProgress, bestCount },
      (computed, row, window) => {
        const [starts, startLogs] = [
          computed.start_top_index!.row(row),
          computed.start_top_log_probs!.row(row),
        ];
        const [ends, endLogs] = [computed.end_top_index!.row(row), computed.end_top_log_probs!.row(row)];
        const token = window.from - window.first;
        const spans: Candidate[] = [];
        const perStart = ends.length / starts.length;
        ends.forEach((end, entry) => {
          const place = Math.floor(entry / perStart);
          // Entries without a token stand at position 0, which is no span.
          if (!isSpan(window, starts[place], end, maxAnswerLength)) return;
          spans.push({
            start: starts[place] + token,
            end: end + token,
            startLogit: startLogs[place],
            endLogit: endLogs[entry],
          });
        });
        return { spans, none: computed.cls_logits!.data[row] };
      },
    );
    return found.map(({ answers, none }) => ({ answers, nullOdds: none }));
  },
};
