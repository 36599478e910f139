/** The heads that a model may have: what Hugging Face calls them, and what they give and need. */

interface HeadInfo {
  /** The class that config.json names. */
  architecture: string;
  /** Outputs of the head itself, beside the encoder's. */
  logits: readonly string[];
  /** Whether the pooled first state is an output, too. */
  pooled: boolean;
  /** Beginnings of the names of its parameters, 'albert.' left out. */
  parameters: readonly string[];
}

const INFO = {
  base: { architecture: 'AlbertModel', logits: [], pooled: true, parameters: [] },
  pretraining: {
    architecture: 'AlbertForPreTraining',
    logits: ['prediction_logits', 'sop_logits'],
    pooled: true,
    parameters: ['predictions.', 'sop_classifier.', 'pooler.'],
  },
  'masked-lm': {
    architecture: 'AlbertForMaskedLM',
    logits: ['logits'],
    pooled: false,
    parameters: ['predictions.'],
  },
  'sequence-classification': {
    architecture: 'AlbertForSequenceClassification',
    logits: ['logits'],
    pooled: true,
    parameters: ['classifier.', 'pooler.'],
  },
  'token-classification': {
    architecture: 'AlbertForTokenClassification',
    logits: ['logits'],
    pooled: false,
    parameters: ['classifier.'],
  },
  'question-answering': {
    architecture: 'AlbertForQuestionAnswering',
    logits: ['start_logits', 'end_logits'],
    pooled: false,
    parameters: ['qa_outputs.'],
  },
  // Hugging Face has no class for it.
  'question-answering-beam': {
    architecture: 'AlbertForQuestionAnsweringBeam',
    logits: ['start_top_log_probs', 'start_top_index', 'end_top_log_probs', 'end_top_index', 'cls_logits'],
    pooled: false,
    parameters: ['start_logits.', 'end_logits.', 'answer_class.'],
  },
  'multiple-choice': {
    architecture: 'AlbertForMultipleChoice',
    logits: ['logits'],
    pooled: true,
    parameters: ['classifier.', 'pooler.'],
  },
} as const satisfies Record<string, HeadInfo>;

/** What stands on top of the encoder. */
export type Head = keyof typeof INFO;

/** What a head gives where no choice is made. */
export type OutputName<H extends Head> =
  | 'last_hidden_state'
  | (typeof INFO)[H]['logits'][number]
  | ((typeof INFO)[H]['pooled'] extends true ? 'pooler_output' : never);

export const HEADS = Object.keys(INFO) as [Head, ...Head[]];

/** What is known of a head. */
export const headInfo = (head: Head): HeadInfo => INFO[head];
