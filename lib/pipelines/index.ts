/** pipeline(): text in, answer out, one function a task. */
import type { Albert } from '../albert';
import { invalid } from '../options';
import { featureExtraction, type FeatureExtractionPipeline } from './feature-extraction';
import { fillMask, type FillMaskPipeline } from './fill-mask';
import { multipleChoice, type MultipleChoicePipeline } from './multiple-choice';
import type { PipelineOptions } from './open';
import { questionAnswering, type QuestionAnsweringPipeline } from './question-answering';
import { sentenceOrder, type SentenceOrderPipeline } from './sentence-order';
import { sentenceSimilarity, type SentenceSimilarityPipeline } from './sentence-similarity';
import { textClassification, type TextClassificationPipeline } from './text-classification';
import { tokenClassification, type TokenClassificationPipeline } from './token-classification';
import { zeroShotClassification, type ZeroShotPipeline } from './zero-shot-classification';

export type * from './feature-extraction';
export type * from './fill-mask';
export type * from './multiple-choice';
export type { CallOptions, Pipeline, PipelineOptions, TextOptions } from './open';
export type * from './question-answering';
export type * from './sentence-order';
export type * from './sentence-similarity';
export type * from './text-classification';
export type * from './token-classification';
export type * from './zero-shot-classification';

/** What each task's pipeline is, other libraries' names for it included. */
export interface Pipelines {
  'fill-mask': FillMaskPipeline;
  'feature-extraction': FeatureExtractionPipeline;
  embeddings: FeatureExtractionPipeline;
  'text-classification': TextClassificationPipeline;
  'sentiment-analysis': TextClassificationPipeline;
  'token-classification': TokenClassificationPipeline;
  ner: TokenClassificationPipeline;
  'question-answering': QuestionAnsweringPipeline;
  'zero-shot-classification': ZeroShotPipeline;
  'multiple-choice': MultipleChoicePipeline;
  'sentence-order': SentenceOrderPipeline;
  'sentence-similarity': SentenceSimilarityPipeline;
}

/** A task that pipeline() knows. */
export type Task = keyof Pipelines;

type Factory<T> = (source?: string | Albert, options?: PipelineOptions) => Promise<T>;

const factories: { [T in Task]: Factory<Pipelines[T]> } = {
  'fill-mask': fillMask,
  'feature-extraction': featureExtraction,
  embeddings: featureExtraction,
  'text-classification': textClassification,
  'sentiment-analysis': textClassification,
  'token-classification': tokenClassification,
  ner: tokenClassification,
  'question-answering': questionAnswering,
  'zero-shot-classification': zeroShotClassification,
  'multiple-choice': multipleChoice,
  'sentence-order': sentenceOrder,
  'sentence-similarity': sentenceSimilarity,
};

/**
 * Loads a model for a task and returns the function that does it.
 * @param source a model folder, the name of a local model, or a model that was loaded already (which the pipeline then does
 *   not dispose of, and which takes no options of loading). Default: the model that the package ships.
 * @throws AlbertError CHECKPOINT when there is no such model or it was not trained for the task.
 */
export async function pipeline<T extends Task>(
  task: T,
  source?: string | Albert,
  options?: PipelineOptions,
): Promise<Pipelines[T]> {
  if (typeof task !== 'string' || !Object.hasOwn(factories, task)) {
    throw invalid(
      `one of ${Object.keys(factories)
        .map((name) => `'${name}'`)
        .join(', ')}`,
      'task',
      task,
    );
  }
  return (factories[task] as Factory<Pipelines[T]>)(source, options);
}
